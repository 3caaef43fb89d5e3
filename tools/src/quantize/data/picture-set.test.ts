import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cutTiles, normalizeTiles } from '@speedq/processor';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRandom } from '../../data/random.ts';
import { PictureSet } from './picture-set.ts';

const tiling = { tileSize: 56, minTiles: 1, maxTiles: 4, useThumbnail: false };
const normalization = { mean: [0, 0, 0], std: [1, 1, 1] } as const;

let folder: string;
let path: string;
let raw: Uint8Array;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-pictures-'));
  path = join(folder, 'noise.png');
  const random = createRandom(1);
  raw = Uint8Array.from({ length: 4 * 56 * 56 * 3 }, () => random.int(256));
  await sharp(raw, { raw: { width: 4 * 56, height: 56, channels: 3 } })
    .png()
    .toFile(path);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function pixels(seed: number, augmentation?: number) {
  const set = new PictureSet({ tiling, normalization }, seed);
  return set.pixels(await set.add(path, 4, augmentation));
}

test('augmented tiles are each a JPEG of quality 75 to 100, by the seed and the use', async () => {
  const { data } = cutTiles({ width: 4 * 56, height: 56, data: raw }, tiling);
  const size = data.length / 4;
  /** A tile's values at each quality, by sharp itself. */
  const compressed = async (tile: number, quality: number) => {
    const bytes = data.subarray(tile * size, (tile + 1) * size);
    const jpeg = sharp(bytes, { raw: { width: 56, height: 56, channels: 3 } }).jpeg({ quality });
    const decoded = await sharp(await jpeg.toBuffer())
      .raw()
      .toBuffer();
    return normalizeTiles(Uint8Array.from(decoded), 56, [0, 0, 0], [1, 1, 1]);
  };
  const augmented = await pixels(1, 0);
  const found: number[] = [];
  for (let tile = 0; tile < 4; tile++) {
    const own = augmented.subarray(tile * size, (tile + 1) * size);
    for (let quality = 75; quality <= 100; quality++) {
      if ((await compressed(tile, quality)).every((value, i) => value === own[i])) found.push(quality);
    }
  }
  expect(found).toHaveLength(4);
  expect(new Set(found).size).toBeGreaterThan(1);
  expect(await pixels(1, 0)).toEqual(augmented);
  for (const other of [await pixels(2, 0), await pixels(1, 1), await pixels(1)]) {
    expect(other).not.toEqual(augmented);
  }
  expect(await pixels(1)).toEqual(normalizeTiles(data, 56, [0, 0, 0], [1, 1, 1]));
});

test('each use of an augmented picture is a picture of its own; otherwise it is there once', async () => {
  const set = new PictureSet({ tiling, normalization }, 1);
  const added = [];
  for (const augmentation of [undefined, 0, 1, undefined, 1])
    added.push(await set.add(path, 4, augmentation));
  expect(added).toEqual([0, 1, 2, 0, 2]);
});
