import { SpeedqError } from '@speedq/format';
import type { ExecutionProvider } from '@speedq/onnx';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import type { ModelFolder } from '../model-folder.ts';
import { sideFiles } from '../packing/pack-model.ts';
import type { Recipe } from '../recipes/schema.ts';
import type { StageNumber } from './job.ts';

/** Everything that decides the bytes of the result. */
export interface Fingerprint {
  readonly model: string;
  /** Of stage 3, where it is not the model itself. */
  readonly teacher?: string;
  readonly data: string;
  readonly recipe: Recipe;
  readonly method: string;
  readonly stages: readonly StageNumber[];
  readonly seed: number;
  readonly threads: number;
  readonly device: ExecutionProvider;
  /** Of the trained program: a new version may compute otherwise. */
  readonly version: number;
}

/** Raise when a change of the stages changes their results. */
export const STAGES_VERSION = 4;

/** SHA-256 of a model's configuration, weights and side files. */
export function hashModel(folder: ModelFolder): Promise<string> {
  const weights = folder.files.filter((name) => name.endsWith('.safetensors'));
  return hashFiles(['config.json', ...sideFiles(folder), ...weights].map((name) => join(folder.path, name)));
}

/** SHA-256 of files, contents and order; their names do not matter. */
export async function hashFiles(paths: readonly string[]): Promise<string> {
  const whole = createHash('sha256');
  for (const path of paths) {
    const one = createHash('sha256');
    for await (const chunk of createReadStream(path)) one.update(chunk as Uint8Array);
    whole.update(one.digest());
  }
  return whole.digest('hex');
}

/** What a fingerprint says of files: nothing that a person could read. */
const HASHES: ReadonlySet<string> = new Set(['model', 'teacher', 'data']);

/** What differs between the run that left a checkpoint and this one, in words; empty where nothing does. */
export function differences(before: Fingerprint, now: Fingerprint): string[] {
  const found: string[] = [];
  const compare = (path: string, a: unknown, b: unknown): void => {
    if (isObject(a) && isObject(b)) {
      for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
        compare(path === '' ? key : `${path}.${key}`, a[key], b[key]);
      }
    } else if (JSON.stringify(a) !== JSON.stringify(b)) {
      const said = (value: unknown) =>
        path === 'teacher'
          ? value === undefined
            ? 'the model itself'
            : 'another model'
          : JSON.stringify(value);
      const opaque = HASHES.has(path) && a !== undefined && b !== undefined;
      found.push(opaque ? `the files of ${path}` : `${path} (was ${said(a)}, is ${said(b)})`);
    }
  };
  compare('', before, now);
  return found;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Throws `resume-mismatch` naming what differs. */
export function requireSame(before: Fingerprint, now: Fingerprint, work: string): void {
  const found = differences(before, now);
  if (found.length === 0) return;
  throw new SpeedqError(
    'resume-mismatch',
    `${work} holds an unfinished run that differs from this one in ${found.join(', ')}. ` +
      'Repeat that command to finish it, pass --force to start over, or choose another --out.',
  );
}
