import { SPREAD_BUILTINS, SPREAD_INDEX } from '../../engine/grid.ts';
import type { Program } from '../../engine/program.ts';
import { floats, params, program } from '../../engine/program.ts';

export interface RopeOptions {
  readonly heads: number;
  readonly keyValueHeads: number;
  /** Even. */
  readonly headDim: number;
}

export const ROPE_THREADS = 64;

/** Threads per token: one per rotated pair of q and k, and per pair of v copied. */
export function ropePairs({ heads, keyValueHeads, headDim }: RopeOptions): number {
  return ((heads + 2 * keyValueHeads) * headDim) / 2;
}

/**
 * Half-split rotation of q and k at positions past…past+count-1; k and v go to the cache rows of their
 * positions. A row of qkv holds q, k and v side by side. Cosines come from a table: WGSL leaves sin and cos of large angles inaccurate.
 */
export function ropeProgram(options: RopeOptions): Program {
  const { heads, keyValueHeads, headDim } = options;
  return program(
    'rope',
    {
      params,
      qkv: floats('read'),
      table: { type: 'array<vec2<f32>>', access: 'read' },
      rotated: floats('write'),
      keys: floats('write'),
      values: floats('write'),
    },
    `
const HALF = ${headDim / 2}u;
const Q_PAIRS = ${(heads * headDim) / 2}u;
const K_PAIRS = ${(keyValueHeads * headDim) / 2}u;
const PAIRS = Q_PAIRS + 2u * K_PAIRS;

@compute @workgroup_size(${ROPE_THREADS})
fn main(${SPREAD_BUILTINS}) {
  let index = (${SPREAD_INDEX}) * ${ROPE_THREADS}u + lid;
  let token = index / PAIRS;
  if (token >= params.count) { return; }
  let position = params.past + token;
  var pair = index % PAIRS;
  if (pair >= Q_PAIRS + K_PAIRS) {
    pair -= Q_PAIRS + K_PAIRS;
    let source = token * PAIRS * 2u + (Q_PAIRS + K_PAIRS + pair) * 2u;
    let to = position * K_PAIRS * 2u + pair * 2u;
    values[to] = qkv[source];
    values[to + 1u] = qkv[source + 1u];
    return;
  }
  let is_key = pair >= Q_PAIRS;
  if (is_key) { pair -= Q_PAIRS; }
  let turn = table[position * HALF + pair % HALF];
  let offset = (pair / HALF) * HALF * 2u + pair % HALF;
  if (is_key) {
    let source = token * PAIRS * 2u + Q_PAIRS * 2u + offset;
    let to = position * K_PAIRS * 2u + offset;
    let a = qkv[source];
    let b = qkv[source + HALF];
    keys[to] = a * turn.x - b * turn.y;
    keys[to + HALF] = b * turn.x + a * turn.y;
  } else {
    let source = token * PAIRS * 2u + offset;
    let at = token * Q_PAIRS * 2u + offset;
    let a = qkv[source];
    let b = qkv[source + HALF];
    rotated[at] = a * turn.x - b * turn.y;
    rotated[at + HALF] = b * turn.x + a * turn.y;
  }
}`,
  );
}
