import type { KeyValueFormat } from '../kv-cache/format.ts';
import { cacheWriter } from '../kv-cache/format.ts';

export interface RopeOptions {
  readonly heads: number;
  readonly keyValueHeads: number;
  /** A multiple of 4. */
  readonly headDim: number;
  readonly format: KeyValueFormat;
}

/**
 * Functions over `qkv` [rows, (heads + 2·keyValueHeads)·headDim] and `table`: `fn rotated_quad(at: u32, position:
 * u32, quad: u32) -> vec4<f32>`, features 4·quad… of the head that begins at qkv[at], rotated by half-split RoPE;
 * `fn cache_quad(row: u32, position: u32, head: u32, quad: u32)`, which writes them, of key head `head`, or of
 * value head `head` - keyValueHeads, to the row of the cache that the position has. Cosines come from a table: WGSL leaves sin and cos of large angles
 * inaccurate.
 */
export function ropeCode({ heads, keyValueHeads, headDim, format }: RopeOptions): string {
  const top = (value: string) =>
    format === 'q8'
      ? `var top = 0.0f;
  for (var i = 0u; i < ${headDim / 4}u; i++) {
    let v = abs(${value});
    top = max(top, max(max(v.x, v.y), max(v.z, v.w)));
  }`
      : 'let top = 0.0f;';
  return `
const HALF = ${headDim / 2}u;
const QKV_WIDTH = ${(heads + 2 * keyValueHeads) * headDim}u;

fn rotated(at: u32, position: u32, feature: u32) -> f32 {
  let pair = feature % HALF;
  let turn = table[position * HALF + pair];
  let a = qkv[at + pair];
  let b = qkv[at + pair + HALF];
  return select(a * turn.x - b * turn.y, b * turn.x + a * turn.y, feature >= HALF);
}
fn rotated_quad(at: u32, position: u32, quad: u32) -> vec4<f32> {
  let f = quad * 4u;
  return vec4(rotated(at, position, f), rotated(at, position, f + 1u), rotated(at, position, f + 2u),
    rotated(at, position, f + 3u));
}
fn plain_quad(at: u32, quad: u32) -> vec4<f32> {
  let f = at + quad * 4u;
  return vec4(qkv[f], qkv[f + 1u], qkv[f + 2u], qkv[f + 3u]);
}
${cacheWriter(format, { keyValueHeads, headDim }, 'keys')}
${cacheWriter(format, { keyValueHeads, headDim }, 'values')}
fn cache_key(at: u32, position: u32, head: u32, quad: u32) {
  ${top('rotated_quad(at, position, i)')}
  put_keys(position, head, quad, rotated_quad(at, position, quad), top);
}
fn cache_value(at: u32, position: u32, head: u32, quad: u32) {
  ${top('plain_quad(at, i)')}
  put_values(position, head, quad, plain_quad(at, quad), top);
}
fn cache_quad(row: u32, position: u32, head: u32, quad: u32) {
  let at = row * QKV_WIDTH + (${heads}u + head) * ${headDim}u;
  if (head < ${keyValueHeads}u) {
    cache_key(at, position, head, quad);
  } else {
    cache_value(at, position, head - ${keyValueHeads}u, quad);
  }
}`;
}
