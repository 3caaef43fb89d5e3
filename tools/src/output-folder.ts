import { SpeedqError } from '@speedq/format';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

export interface OutputFolderOptions {
  /** Replace what is there, if it is an earlier output. */
  readonly force?: boolean;
  /** A file that tells an earlier output from anything else, which is never deleted. */
  readonly marker: string;
}

/**
 * Fills a folder that appears under its name only when `fill` is done; until then it is a hidden sibling,
 * which is removed if `fill` throws and replaced if an earlier run was killed.
 * Throws `output-exists`.
 */
export async function writeOutputFolder<T>(
  path: string,
  options: OutputFolderOptions,
  fill: (folder: string) => Promise<T>,
): Promise<T> {
  const target = resolve(path);
  // Before the work, so that nobody waits for an hour to be told no.
  await checkReplaceable(target, options);
  const partial = join(dirname(target), `.${basename(target)}.partial`);
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  try {
    const result = await fill(partial);
    await publish(partial, target, options);
    return result;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

/** Gives a finished folder its name. Throws `output-exists` where that is taken. */
export async function publish(finished: string, path: string, options: OutputFolderOptions): Promise<void> {
  const target = resolve(path);
  if ((await checkReplaceable(target, options)) === 'absent') {
    await rename(finished, target);
    return;
  }
  const old = join(dirname(target), `.${basename(target)}.old`);
  await rm(old, { recursive: true, force: true });
  await rename(target, old);
  await rename(finished, target);
  await rm(old, { recursive: true, force: true });
}

/** Throws `output-exists` unless the path is free, an empty folder, or an output that may be replaced. */
export async function checkReplaceable(
  target: string,
  { force = false, marker }: OutputFolderOptions,
): Promise<'absent' | 'replaceable'> {
  let files: string[];
  try {
    files = await readdir(target);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return 'absent';
    if (code === 'ENOTDIR')
      throw new SpeedqError('output-exists', `${target} is a file; choose another name.`);
    throw error;
  }
  if (files.length === 0) return 'replaceable';
  if (!files.includes(marker)) {
    throw new SpeedqError(
      'output-exists',
      `${target} exists and is no earlier output (it has no ${marker}); it is left alone. Choose another --out.`,
    );
  }
  if (!force) {
    throw new SpeedqError(
      'output-exists',
      `${target} exists. Pass --force to replace it, or choose another --out.`,
    );
  }
  return 'replaceable';
}
