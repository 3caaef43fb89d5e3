import { SpeedqError } from '@speedq/format';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { readJsonFile } from '../../json-file.ts';

/** One annotation file of a training set. */
export interface DataSource {
  readonly name: string;
  /** Folder that picture paths start from. */
  readonly root: string;
  /** JSONL, one conversation a line. */
  readonly annotation: string;
  /** Below 1: only this share of the lines, the first; else a whole number of repetitions. */
  readonly repeat: number;
  /** Tiles of a picture, at most, where the set says so. */
  readonly maxTiles?: number;
  /** Tiles are compressed as JPEG of random quality before they are seen. */
  readonly augment: boolean;
}

export interface DataSources {
  readonly sources: readonly DataSource[];
  /** Files whose contents decide what is trained on. */
  readonly files: readonly string[];
}

const MAX_META_BYTES = 16 << 20;

/**
 * Finds the conversations of `path`: a JSONL file, a meta JSON (name → root, annotation, repeat_time, …, as
 * InternVL's training scripts read it), or a folder that holds one. Throws `invalid-data`.
 */
export async function findSources(path: string): Promise<DataSources> {
  const file = await resolveFile(resolve(path));
  if (file.endsWith('.jsonl')) {
    const source = {
      name: basename(file, '.jsonl'),
      root: dirname(file),
      annotation: file,
      repeat: 1,
      augment: false,
    };
    return { sources: [source], files: [file] };
  }
  const meta = await readJsonFile(file, { code: 'invalid-data', maxBytes: MAX_META_BYTES });
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta) || Object.keys(meta).length === 0) {
    throw invalid(`${file}: expected an object of data sets, { "name": { "root": …, "annotation": … } }.`);
  }
  const sources = Object.entries(meta).map(([name, entry]) => parseEntry(file, name, entry));
  for (const { annotation, name } of sources) {
    if (!(await isFile(annotation)))
      throw invalid(`${file}: annotation of ${name}, ${annotation}, does not exist.`);
  }
  return { sources, files: [file, ...sources.map(({ annotation }) => annotation)] };
}

async function resolveFile(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined)
    throw invalid(`${path} does not exist; expected a meta JSON, a JSONL file or a folder.`);
  if (!found.isDirectory()) {
    if (/\.jsonl?$/.test(path)) return path;
    throw invalid(`${path}: expected a name that ends in .json (data sets) or .jsonl (conversations).`);
  }
  const files = await readdir(path);
  if (files.includes('meta.json')) return join(path, 'meta.json');
  const candidates = [/\.jsonl$/, /\.json$/].map((kind) => files.filter((name) => kind.test(name)));
  for (const names of candidates) {
    if (names.length === 1) return join(path, names[0]);
    if (names.length > 1) {
      throw invalid(`${path} holds ${names.sort().join(', ')}; name the one to train on.`);
    }
  }
  throw invalid(`${path} holds no meta.json and no .jsonl file. Make a data set with speedq data.`);
}

function parseEntry(file: string, name: string, entry: unknown): DataSource {
  const fields = (typeof entry === 'object' && entry !== null ? entry : {}) as Readonly<
    Record<string, unknown>
  >;
  const {
    root,
    annotation,
    repeat_time: repeat = 1,
    max_dynamic_patch: maxTiles,
    data_augment: augment = false,
  } = fields;
  if (typeof root !== 'string' || typeof annotation !== 'string' || !annotation.endsWith('jsonl')) {
    throw invalid(`${file}: ${name} needs "root", a folder, and "annotation", a .jsonl file.`);
  }
  if (typeof repeat !== 'number' || !(repeat > 0) || (repeat > 1 && !Number.isInteger(repeat))) {
    throw invalid(
      `${file}: repeat_time of ${name} is ${JSON.stringify(repeat)}; expected a whole number or a share.`,
    );
  }
  if (maxTiles !== undefined && !(Number.isInteger(maxTiles) && (maxTiles as number) >= 1)) {
    throw invalid(
      `${file}: max_dynamic_patch of ${name} is ${JSON.stringify(maxTiles)}; expected a count of tiles.`,
    );
  }
  if (typeof augment !== 'boolean') {
    throw invalid(`${file}: data_augment of ${name} is ${JSON.stringify(augment)}; expected true or false.`);
  }
  const base = dirname(file);
  return {
    name,
    root: resolve(base, root),
    annotation: resolve(base, annotation),
    repeat,
    maxTiles: maxTiles as number | undefined,
    augment,
  };
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

function invalid(message: string): SpeedqError {
  return new SpeedqError('invalid-data', message);
}
