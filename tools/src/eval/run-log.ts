import { SpeedqError } from '@speedq/format';
import { open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { exists } from '../model-folder/float-weights.ts';

const LINE_FEED = 10;
/** Raise when a change of this folder changes answers. */
const EVALUATION_VERSION = 1;

/** Everything that decides the answers. */
export interface RunFingerprint {
  /** SHA-256 of the models' files. */
  readonly model: string;
  readonly reference: string | null;
  /** SHA-256 of the data. */
  readonly data: string;
  /** Of the command, by name. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/**
 * The answers of a run so far, one JSON line each, appended as they come: what a killed run leaves for the next.
 * The first line is the run's fingerprint.
 */
export class RunLog<T extends { readonly index: string }> {
  /** By index; of several the last. */
  readonly answers: ReadonlyMap<string, T>;
  private readonly path: string;
  private readonly file: FileHandle;

  private constructor(path: string, file: FileHandle, answers: ReadonlyMap<string, T>) {
    this.path = path;
    this.file = file;
    this.answers = answers;
  }

  /**
   * Opens the log of an earlier run of the same fingerprint, or begins one. `force`: begin anew where they differ.
   * @throws {SpeedqError} `resume-mismatch`.
   */
  static async open<T extends { readonly index: string }>(
    path: string,
    fingerprint: RunFingerprint,
    force: boolean,
  ): Promise<RunLog<T>> {
    const header = JSON.stringify({ version: EVALUATION_VERSION, ...fingerprint });
    const bytes = (await exists(path)) ? await readFile(path) : Buffer.alloc(0);
    // A line that the end of the process cut short is none.
    const whole = bytes.subarray(0, bytes.lastIndexOf(LINE_FEED) + 1);
    const [first, ...lines] = whole.toString('utf8').split('\n').slice(0, -1);
    const isSame = first === header;
    if (first !== undefined && !isSame && !force) throw mismatch(path, first, header);
    if (isSame) await truncate(path, whole.length);
    else await writeFile(path, `${header}\n`);
    const answers = (isSame ? lines : []).map((line) => JSON.parse(line) as T);
    return new RunLog(path, await open(path, 'a'), new Map(answers.map((answer) => [answer.index, answer])));
  }

  /** What is written survives the end of the process, however it comes. */
  async append(answers: readonly T[]): Promise<void> {
    await this.file.write(answers.map((answer) => `${JSON.stringify(answer)}\n`).join(''));
  }

  close(): Promise<void> {
    return this.file.close();
  }

  /** Closes it too. */
  async remove(): Promise<void> {
    await this.file.close();
    await rm(this.path, { force: true });
  }
}

/** Names what differs. */
function mismatch(path: string, before: string, now: string): SpeedqError {
  const [a, b] = [before, now].map((text) => flatten(JSON.parse(text) as object));
  const names = [...new Set([...a.keys(), ...b.keys()])].filter((name) => a.get(name) !== b.get(name));
  return new SpeedqError(
    'resume-mismatch',
    `${path} holds the answers of an unfinished run that differs from this one in ${names.join(', ')}. Repeat that ` +
      'command to finish it, pass --force to start over, or choose another --out.',
  );
}

function flatten(fields: object): Map<string, string> {
  return new Map(
    Object.entries(fields).flatMap(([name, value]: [string, unknown]) =>
      name === 'settings' ? [...flatten(value as object)] : [[name, JSON.stringify(value)] as const],
    ),
  );
}
