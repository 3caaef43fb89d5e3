import { SPREAD_BUILTINS, SPREAD_INDEX } from '../../engine/grid.ts';
import type { Program } from '../../engine/program.ts';
import { floats, params, program, vectors } from '../../engine/program.ts';
import { cacheBinding } from '../kv-cache/format.ts';
import type { RopeOptions } from './code.ts';
import { ropeCode } from './code.ts';

export const ROPE_THREADS = 64;

/** Threads per token: one for every four features of q, k and v. */
export function ropeQuads({ heads, keyValueHeads, headDim }: Omit<RopeOptions, 'format'>): number {
  return ((heads + 2 * keyValueHeads) * headDim) / 4;
}

/**
 * Rotation of q and k at positions past…past+count-1; k and v go to the cache rows of their positions. A row of qkv
 * holds q, k and v side by side.
 */
export function ropeProgram(options: RopeOptions): Program {
  const { heads, headDim, format } = options;
  const quads = headDim / 4;
  return program(
    'rope',
    {
      params,
      qkv: floats('read'),
      table: { type: 'array<vec2<f32>>', access: 'read' },
      rotated_q: vectors('write'),
      keys: cacheBinding(format, 'write'),
      values: cacheBinding(format, 'write'),
    },
    `
const QUADS = ${quads}u;
const ROW_QUADS = ${ropeQuads(options)}u;
const HEADS = ${heads}u;
${ropeCode(options)}

@compute @workgroup_size(${ROPE_THREADS})
fn main(${SPREAD_BUILTINS}) {
  let index = (${SPREAD_INDEX}) * ${ROPE_THREADS}u + lid;
  let token = index / ROW_QUADS;
  if (token >= params.count) { return; }
  let position = params.past + token;
  let head = index % ROW_QUADS / QUADS;
  let quad = index % QUADS;
  if (head < HEADS) {
    let at = token * QKV_WIDTH + head * ${headDim}u;
    rotated_q[(token * HEADS + head) * QUADS + quad] = rotated_quad(at, position, quad);
  } else {
    cache_quad(token, position, head - HEADS, quad);
  }
}`,
  );
}
