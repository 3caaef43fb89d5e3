import { SpeedqError } from '@speedq/format';
import type { RgbImage } from '@speedq/processor';
import { decodeImage } from '@speedq/processor/node';
import { createRandom } from '../data/random.ts';
import type { Question } from './question.ts';

/** Each question with its picture; with a grey one of that size; or with that of another question. */
export type PictureMode = 'own' | 'blank' | 'shuffled';

/** Rows about the same pictures, which are decoded and encoded once for all of them. */
export interface PictureGroup {
  readonly rows: readonly Question[];
  /** Empty for questions without a picture. @throws {SpeedqError} `invalid-image`, `invalid-data`. */
  load(): Promise<RgbImage[]>;
}

/** A group is what an interrupted run may have to do again. */
const LARGEST_GROUP = 32;

/**
 * Groups rows by their pictures, in order of first appearance. Shuffled pictures go round in one seeded cycle: no
 * group keeps its own.
 * @throws {SpeedqError} `invalid-data` where there are too few pictures to shuffle.
 */
export function groupByPicture(
  rows: readonly Question[],
  { mode, seed }: { readonly mode: PictureMode; readonly seed: number },
): PictureGroup[] {
  const groups = new Map<string, Question[]>();
  for (const row of rows) {
    const key = row.pictureKey ?? '';
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
  return all.flatMap((group) => {
    const load = async (): Promise<RgbImage[]> => {
      const images = await loadPictures(sources.get(group)!);
      return mode === 'blank' ? images.map(blank) : images;
    };
    const parts = Array.from({ length: Math.ceil(group.length / LARGEST_GROUP) }, (_, i) =>
      group.slice(i * LARGEST_GROUP, (i + 1) * LARGEST_GROUP),
    );
    return parts.map((part) => ({ rows: part, load }));
  });
}

export function hasPicture({ pictureKey }: Question): boolean {
  return pictureKey !== undefined;
}

/**
 * A picture of twice the size, byte for byte what Pillow's bilinear `Image.resize` gives: 3:1 between neighbours,
 * rounded between the horizontal and the vertical pass.
 */
export function doubleSize({ width, height, data }: RgbImage): RgbImage {
  const wide = doubleAlong(data, { before: height, length: width, after: 3 });
  return {
    width: 2 * width,
    height: 2 * height,
    data: doubleAlong(wide, { before: 1, length: height, after: 6 * width }),
  };
}

/** Doubles the middle axis of [before, length, after]. */
function doubleAlong(
  source: Uint8Array,
  { before, length, after }: { readonly before: number; readonly length: number; readonly after: number },
): Uint8Array {
  const target = new Uint8Array(2 * source.length);
  for (let block = 0; block < before; block++) {
    for (let i = 0; i < 2 * length; i++) {
      const near = i >> 1;
      const other = near + (i % 2 === 0 ? -1 : 1);
      const far = other < 0 || other === length ? near : other;
      const to = (block * 2 * length + i) * after;
      const [a, b] = [near, far].map((one) => (block * length + one) * after);
      for (let k = 0; k < after; k++) target[to + k] = (3 * source[a + k] + source[b + k] + 2) >> 2;
    }
  }
  return target;
}

async function loadPictures(row: Question): Promise<RgbImage[]> {
  const files = await row.loadPictures();
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

/** Middle grey. */
function blank({ width, height }: RgbImage): RgbImage {
  return { width, height, data: new Uint8Array(width * height * 3).fill(128) };
}
