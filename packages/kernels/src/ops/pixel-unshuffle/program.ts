import { SPREAD_BUILTINS, SPREAD_INDEX } from '../../engine/grid.ts';
import type { Program } from '../../engine/program.ts';
import { params, program, vectors } from '../../engine/program.ts';

export const UNSHUFFLE_THREADS = 64;

/**
 * [tiles, 1 + grid², width] → [tiles, (grid/2)², 4·width]: drops the class token and joins each 2×2
 * neighbourhood in the order (0,0), (0,1), (1,0), (1,1).
 */
export function unshuffleProgram({
  grid,
  width,
}: {
  readonly grid: number;
  readonly width: number;
}): Program {
  return program(
    'pixel-unshuffle',
    { params, x: vectors('read'), y: vectors('write') },
    `
const GRID = ${grid}u;
const QUADS = ${width / 4}u;

@compute @workgroup_size(${UNSHUFFLE_THREADS})
fn main(${SPREAD_BUILTINS}) {
  let index = (${SPREAD_INDEX}) * ${UNSHUFFLE_THREADS}u + lid;
  let row = index / (4u * QUADS);
  let tokens = GRID * GRID / 4u;
  let tile = row / tokens;
  if (tile >= params.count) { return; }
  let cell = row % tokens;
  let corner = (index / QUADS) % 4u;
  let down = cell / (GRID / 2u) * 2u + corner / 2u;
  let right = cell % (GRID / 2u) * 2u + corner % 2u;
  let token = tile * (GRID * GRID + 1u) + 1u + down * GRID + right;
  y[index] = x[token * QUADS + index % QUADS];
}`,
  );
}
