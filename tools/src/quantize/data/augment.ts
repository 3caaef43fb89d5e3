import sharp from 'sharp';
import { createRandom } from '../../data/random.ts';

/** Of JPEG, as libjpeg counts: InternVL's training takes one at random for each tile. */
const QUALITIES = { lowest: 75, count: 26 };
/** Apart from other uses of the same seed. */
const COMPRESSION = 3;

/**
 * What `data_augment` of a meta JSON asks for: each tile [tileSize, tileSize, 3] of bytes compressed as JPEG of a random
 * quality, and decoded again.
 */
export async function compressTiles(
  tiles: Uint8Array,
  tileSize: number,
  seed: readonly number[],
): Promise<Uint8Array> {
  const random = createRandom(COMPRESSION, ...seed);
  const size = 3 * tileSize ** 2;
  const raw = { width: tileSize, height: tileSize, channels: 3 } as const;
  const compressed = new Uint8Array(tiles.length);
  for (let start = 0; start < tiles.length; start += size) {
    const quality = QUALITIES.lowest + random.int(QUALITIES.count);
    const jpeg = await sharp(tiles.subarray(start, start + size), { raw })
      .jpeg({ quality })
      .toBuffer();
    compressed.set(await sharp(jpeg).raw().toBuffer(), start);
  }
  return compressed;
}
