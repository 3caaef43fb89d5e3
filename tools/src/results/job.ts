import { SpeedqError } from '@speedq/format';
import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { exists } from '../model-folder/float-weights.ts';
import { hashFiles } from '../quantize/fingerprint.ts';
import type { Job } from './plan.ts';

const COMMAND = fileURLToPath(new URL('../../bin/speedq.js', import.meta.url));

/** What is kept of a command that ran. */
export interface JobRecord {
  readonly command: string;
  /** Of the arguments and the inputs' contents; null for an output that was there already. */
  readonly fingerprint: string | null;
  /** Fields of the command's result line. */
  readonly result: Readonly<Record<string, unknown>>;
  /** Wall-clock time; absent for an output that was there already. */
  readonly seconds?: number;
}

export interface RunJobOptions {
  /** Folder of the records. */
  readonly out: string;
  /** A line for people. */
  readonly log: (line: string) => void;
}

/** Runs a job unless its record is of the same arguments and inputs. Throws `internal` where the command fails. */
export async function runJob(job: Job, { out, log }: RunJobOptions): Promise<void> {
  const { id, argv, outputs, keepExisting } = job;
  const command = `speedq ${argv.join(' ')}`;
  const before = await readRecord(out, id);
  const present = (await Promise.all(outputs.map(exists))).every(Boolean);
  if (present && keepExisting === true && (before?.fingerprint ?? null) === null) {
    log(`${id}: ${outputs.join(', ')} is there already`);
    return writeRecord(out, id, { command, fingerprint: null, result: {} });
  }
  const fingerprint = await fingerprintOf(job);
  if (present && before?.fingerprint === fingerprint) return log(`${id}: unchanged`);
  log(`${id}: ${command}`);
  const begin = performance.now();
  const result = await runCommand(argv, (line) => log(`${id}: ${line}`));
  const seconds = (performance.now() - begin) / 1000;
  await writeRecord(out, id, { command, fingerprint, result, seconds });
}

export async function readRecord(out: string, id: string): Promise<JobRecord | undefined> {
  const path = recordFile(out, id);
  if (!(await exists(path))) return undefined;
  return JSON.parse(await readFile(path, 'utf8')) as JobRecord;
}

async function writeRecord(out: string, id: string, record: JobRecord): Promise<void> {
  await mkdir(out, { recursive: true });
  const path = recordFile(out, id);
  await writeFile(`${path}.partial`, `${JSON.stringify(record, null, 2)}\n`);
  await rename(`${path}.partial`, path);
}

function recordFile(out: string, id: string): string {
  return join(out, `${id}.json`);
}

async function fingerprintOf({ argv, inputs }: Job): Promise<string> {
  const hashes: string[] = [];
  for (const input of inputs) hashes.push(await hashFiles(await filesOf(input)));
  return JSON.stringify([...argv, ...hashes]);
}

async function filesOf(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const entries = await readdir(path, { withFileTypes: true });
  return entries.flatMap((entry) => (entry.isFile() ? [join(path, entry.name)] : [])).sort();
}

/** In a process of its own, so that several run side by side. */
function runCommand(
  argv: readonly string[],
  log: (line: string) => void,
): Promise<Readonly<Record<string, unknown>>> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [COMMAND, ...argv, '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let last = '';
    createInterface(child.stdout).on('line', (line) => (last = line));
    createInterface(child.stderr).on('line', log);
    child.on('error', reject);
    child.on('close', (code) => {
      const { event, ...result } = JSON.parse(last === '' ? '{}' : last) as Record<string, unknown>;
      if (code === 0 && event === 'result') return resolve(result);
      reject(
        new SpeedqError('internal', `speedq ${argv.join(' ')} ended with ${code}. Its messages are above.`),
      );
    });
  });
}
