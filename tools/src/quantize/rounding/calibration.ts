import type { Parameters } from '@speedq/onnx';
import { createRandom } from '../../data/random.ts';
import { RANDOM } from '../context.ts';
import type { PictureSet } from '../data/picture-set.ts';
import type { VisionBlocks } from './vision-blocks.ts';

/** Tiles per run: a fixed number, so that results do not depend on who asks. */
const TILES_PER_RUN = 8;

/** Activations of all calibration tiles between two blocks, one after the other. */
export interface Activations {
  readonly tiles: number;
  /** [tiles, tokens · hidden]. */
  readonly data: Float32Array;
}

/** The embedded tiles of a seeded choice of pictures, `limit` tiles at most. */
export async function embedCalibration(
  blocks: VisionBlocks,
  parameters: Parameters,
  pictures: PictureSet,
  { limit, seed, tileSize }: { readonly limit: number; readonly seed: number; readonly tileSize: number },
): Promise<Activations> {
  const order = createRandom(seed, RANDOM.calibration).shuffle([...pictures.pictures.keys()]);
  const parts: Float32Array[] = [];
  let tiles = 0;
  for (const index of order) {
    if (tiles >= limit) break;
    const take = Math.min(pictures.pictures[index].tiles, limit - tiles);
    const pixels = await pictures.pixels(index);
    parts.push(await blocks.embed(parameters, pixels.subarray(0, take * 3 * tileSize * tileSize)));
    tiles += take;
  }
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    data.set(part, offset);
    offset += part.length;
  }
  return { tiles, data };
}

/** All tiles through one block. */
export async function runBlock(
  blocks: VisionBlocks,
  parameters: Parameters,
  layer: number,
  x: Activations,
): Promise<Activations> {
  const data = new Float32Array(x.data.length);
  for (const [start, part] of chunks(x)) data.set(await blocks.forward(parameters, layer, part), start);
  return { tiles: x.tiles, data };
}

/** Mean over all values of the squared difference. */
export function meanSquaredError(a: Activations, b: Activations): number {
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += (a.data[i] - b.data[i]) ** 2;
  return sum / a.data.length;
}

/** The tile of that index. */
export function tileOf({ tiles, data }: Activations, index: number): Float32Array {
  const size = data.length / tiles;
  return data.subarray(index * size, (index + 1) * size);
}

/** Stretches of whole tiles with where they start. */
export function* chunks({ tiles, data }: Activations): Generator<readonly [number, Float32Array]> {
  const size = (data.length / tiles) * TILES_PER_RUN;
  for (let start = 0; start < data.length; start += size) {
    yield [start, data.subarray(start, Math.min(start + size, data.length))];
  }
}
