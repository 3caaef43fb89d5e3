import { SpeedqError } from '@speedq/format';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { readOptionalJsonFile } from '../json-file.ts';
import type { Fingerprint } from './fingerprint.ts';
import { requireSame } from './fingerprint.ts';

/** Where a run for `out` keeps its checkpoints: a hidden sibling, so that renaming the result is atomic. */
export function workFolder(out: string): string {
  const target = resolve(out);
  return join(dirname(target), `.${basename(target)}.work`);
}

const RUN_FILE = 'run.json';
const LOCK_FILE = 'lock';
const MAX_RUN_BYTES = 1 << 20;

export interface OpenedWork {
  /** There was an unfinished run of the same fingerprint. */
  readonly resumes: boolean;
  /** As recorded by the run that began: arithmetic depends on it. */
  readonly threads: number;
  /** Lets others in again. */
  release(): Promise<void>;
}

/**
 * Takes possession of the work folder, creating it if need be. `threads` undefined: those of the unfinished
 * run, else `defaultThreads`. With `force` an unfinished run of another fingerprint is discarded.
 * Throws `resume-mismatch`; `output-exists` while another process works there.
 */
export async function openWorkFolder(
  work: string,
  fingerprint: Omit<Fingerprint, 'threads'>,
  options: { readonly threads?: number; readonly defaultThreads: number; readonly force: boolean },
): Promise<OpenedWork> {
  await mkdir(work, { recursive: true });
  const release = await lock(work);
  try {
    const run = join(work, RUN_FILE);
    const before = (await readOptionalJsonFile(run, { code: 'resume-mismatch', maxBytes: MAX_RUN_BYTES })) as
      Fingerprint | undefined;
    const threads = options.threads ?? before?.threads ?? options.defaultThreads;
    const now = { ...fingerprint, threads };
    if (before !== undefined) {
      try {
        requireSame(before, now, work);
        return { resumes: true, threads, release };
      } catch (error) {
        if (!options.force) throw error;
      }
      await release();
      await rm(work, { recursive: true, force: true });
      return await openWorkFolder(work, fingerprint, options);
    }
    await writeFile(`${run}.partial`, JSON.stringify(now, null, 2));
    await rename(`${run}.partial`, run);
    return { resumes: false, threads, release };
  } catch (error) {
    await release();
    throw error;
  }
}

async function lock(work: string): Promise<() => Promise<void>> {
  const file = join(work, LOCK_FILE);
  for (;;) {
    try {
      const handle = await open(file, 'wx');
      await handle.writeFile(`${process.pid}`);
      await handle.close();
      return () => rm(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = Number(await readFile(file, 'utf8').catch(() => ''));
    if (owner !== process.pid && isAlive(owner)) {
      throw new SpeedqError(
        'output-exists',
        `Process ${owner} is quantizing into this folder (${file}). Wait for it, or choose another --out.`,
      );
    }
    // Left behind by a process that was killed.
    await rm(file, { force: true });
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
