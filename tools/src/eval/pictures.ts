import { SpeedqError } from '@speedq/format';
import type { RgbImage } from '@speedq/processor';
import { decodeImage } from '@speedq/processor/node';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EvaluationRow } from '../data/index.ts';
import { createRandom } from '../data/random.ts';

export const PICTURE_MODES = ['own', 'blank', 'shuffled'] as const;
/** Each question with its picture; with a grey one of that size; or with that of another question. */
export type PictureMode = (typeof PICTURE_MODES)[number];

/** Rows about the same pictures, which are decoded and encoded once for all of them. */
export interface PictureGroup {
  readonly rows: readonly EvaluationRow[];
  /** Names the picture in errors. */
  readonly owner: string;
  /** Empty for questions without a picture. @throws {SpeedqError} `invalid-image`, `invalid-data`. */
  load(): Promise<RgbImage[]>;
}

/**
 * Groups rows by their pictures, in order of first appearance. `folder`: where `image_path` starts from.
 * Shuffled pictures go round in one seeded cycle: no group keeps its own.
 * @throws {SpeedqError} `invalid-data` where there are too few pictures to shuffle.
 */
export function groupByPicture(
  rows: readonly EvaluationRow[],
  { mode, seed, folder }: { readonly mode: PictureMode; readonly seed: number; readonly folder: string },
): PictureGroup[] {
  const groups = new Map<string, EvaluationRow[]>();
  for (const row of rows) {
    const key = (row.images.length > 0 ? row.images : row.imagePaths).join('\n');
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  const all = [...groups.values()];
  const pictured = all.filter(([row]) => hasPicture(row));
  const sources = new Map(all.map((group) => [group, group[0]]));
  if (mode === 'shuffled') {
    if (pictured.length < 2) {
      throw new SpeedqError(
        'invalid-data',
        `Shuffling needs at least two different pictures; the data has ${pictured.length}.`,
      );
    }
    const cycle = createRandom(seed).shuffle(pictured);
    cycle.forEach((group, i) => sources.set(group, cycle[(i + 1) % cycle.length][0]));
  }
  return all.map((group) => ({
    rows: group,
    owner: sources.get(group)!.index,
    async load() {
      const images = await loadPictures(sources.get(group)!, folder);
      return mode === 'blank' ? images.map(blank) : images;
    },
  }));
}

export function hasPicture({ images, imagePaths }: EvaluationRow): boolean {
  return images.length > 0 || imagePaths.length > 0;
}

async function loadPictures(row: EvaluationRow, folder: string): Promise<RgbImage[]> {
  const files =
    row.images.length > 0
      ? row.images.map((text) => Buffer.from(text, 'base64'))
      : await Promise.all(row.imagePaths.map((path) => readPicture(join(folder, path), row)));
  return Promise.all(
    files.map(async (bytes) => {
      try {
        return await decodeImage(bytes);
      } catch (cause) {
        if (!(cause instanceof SpeedqError)) throw cause;
        throw new SpeedqError(cause.code, `Row ${row.index}: ${cause.message}`, { cause });
      }
    }),
  );
}

async function readPicture(path: string, row: EvaluationRow): Promise<Uint8Array> {
  return readFile(path).catch((cause: unknown) => {
    throw new SpeedqError(
      'invalid-data',
      `Row ${row.index}: its picture ${path} cannot be read. Paths are relative to the TSV.`,
      { cause },
    );
  });
}

/** Middle grey. */
function blank({ width, height }: RgbImage): RgbImage {
  return { width, height, data: new Uint8Array(width * height * 3).fill(128) };
}
