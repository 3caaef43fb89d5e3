import { SPREAD_BUILTINS, SPREAD_INDEX } from '../../engine/grid.ts';
import type { Program } from '../../engine/program.ts';
import { floats, params, program } from '../../engine/program.ts';

export interface PatchOptions {
  /** Pixels of a tile's side. */
  readonly tileSize: number;
  readonly patchSize: number;
}

export const PATCH_THREADS = 64;

/** Pixels [tiles, 3, S, S] → patches [tiles·grid², 3·patch²], each in the order channel, row, column. */
export function patchesProgram({ tileSize, patchSize }: PatchOptions): Program {
  return program(
    'patches',
    { params, pixels: floats('read'), y: floats('write') },
    `
const SIDE = ${tileSize}u;
const PATCH = ${patchSize}u;
const GRID = SIDE / PATCH;
const WIDTH = 3u * PATCH * PATCH;
@compute @workgroup_size(${PATCH_THREADS})
fn main(${SPREAD_BUILTINS}) {
  let index = (${SPREAD_INDEX}) * ${PATCH_THREADS}u + lid;
  let tile = index / (WIDTH * GRID * GRID);
  if (tile >= params.count) { return; }
  let patch_index = (index / WIDTH) % (GRID * GRID);
  let within = index % WIDTH;
  let channel = within / (PATCH * PATCH);
  let row = (patch_index / GRID) * PATCH + (within / PATCH) % PATCH;
  let column = (patch_index % GRID) * PATCH + within % PATCH;
  y[index] = pixels[((tile * 3u + channel) * SIDE + row) * SIDE + column];
}`,
  );
}

/** Patch rows [tiles·grid², width] → [tiles·(1 + grid²), width]: the class token first, positions added. */
export function assembleProgram({
  patches,
  width,
}: {
  readonly patches: number;
  readonly width: number;
}): Program {
  return program(
    'patch tokens',
    { params, x: floats('read'), class_token: floats('read'), position: floats('read'), y: floats('write') },
    `
const TOKENS = ${patches + 1}u;
const WIDTH = ${width}u;
@compute @workgroup_size(${PATCH_THREADS})
fn main(${SPREAD_BUILTINS}) {
  let index = (${SPREAD_INDEX}) * ${PATCH_THREADS}u + lid;
  let tile = index / (TOKENS * WIDTH);
  if (tile >= params.count) { return; }
  let within = index % (TOKENS * WIDTH);
  var v = position[within];
  if (within < WIDTH) {
    v += class_token[within];
  } else {
    v += x[tile * (TOKENS - 1u) * WIDTH + within - WIDTH];
  }
  y[index] = v;
}`,
  );
}
