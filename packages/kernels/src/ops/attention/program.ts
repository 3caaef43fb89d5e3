import type { Program } from '../../engine/program.ts';
import { float, params, program, vectors } from '../../engine/program.ts';

export interface AttentionOptions {
  readonly heads: number;
  readonly keyValueHeads: number;
  /** A multiple of 4, at most 128. */
  readonly headDim: number;
  /**
   * 'tiles': each tile's rows attend to each other, a row holding q, k and v side by side. 'causal': k and v are
   * cache rows 0…past+count-1, and query t sees those up to past+t.
   */
  readonly span: { readonly kind: 'tiles'; readonly tokens: number } | { readonly kind: 'causal' };
}

/** Queries of a workgroup, one per thread. */
export const QUERIES = 64;
/** Half of the default 16 KiB of workgroup memory each for a block of keys and of values, in floats. */
const BLOCK_FLOATS = 2048;
const MAX_BLOCK_KEYS = 32;

/**
 * Attention with online softmax: a thread keeps its query and sum in registers while blocks of keys and
 * values pass through workgroup memory. Head h reads key-value head ⌊h / (heads/keyValueHeads)⌋.
 */
export function attentionProgram({ heads, keyValueHeads, headDim, span }: AttentionOptions): Program {
  const quads = headDim / 4;
  const block = Math.min(MAX_BLOCK_KEYS, Math.floor(BLOCK_FLOATS / headDim));
  const causal = span.kind === 'causal';
  const width = heads * quads;
  const [qPitch, kPitch, keysAt, valuesAt] = causal
    ? [width, keyValueHeads * quads, 0, 0]
    : [3 * width, 3 * width, width, 2 * width];
  const frame = causal
    ? `let queries = params.count;
  let first_row = 0u;
  let visible = params.past + query + 1u;
  let end = params.past + min(queries, (wid.x + 1u) * QUERIES);`
    : `let queries = ${span.tokens}u;
  let first_row = wid.z * queries;
  let visible = queries;
  let end = queries;`;
  return program(
    `attention ${span.kind}`,
    { params, q: vectors('read'), k: vectors('read'), v: vectors('read'), y: vectors('write') },
    `
const QUERIES = ${QUERIES}u;
const QUADS = ${quads}u;
const BLOCK = ${block}u;
const Q_PITCH = ${qPitch}u;
const K_PITCH = ${kPitch}u;
var<workgroup> keys: array<vec4<f32>, BLOCK * QUADS>;
var<workgroup> values: array<vec4<f32>, BLOCK * QUADS>;

@compute @workgroup_size(QUERIES)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let query = wid.x * QUERIES + lid;
  ${frame}
  let q_at = (first_row + query) * Q_PITCH + wid.y * QUADS;
  let k_at = first_row * K_PITCH + (wid.y / ${heads / keyValueHeads}u) * QUADS;
  var mine: array<vec4<f32>, QUADS>;
  var sum: array<vec4<f32>, QUADS>;
  if (query < queries) {
    for (var d = 0u; d < QUADS; d++) { mine[d] = q[q_at + d] * ${float(1 / Math.sqrt(headDim))}; }
  }
  var highest = -3.0e38f;
  var total = 0.0f;
  for (var start = 0u; start < end; start += BLOCK) {
    workgroupBarrier();
    for (var i = lid; i < BLOCK * QUADS; i += QUERIES) {
      let key = start + i / QUADS;
      var a = vec4<f32>();
      var b = vec4<f32>();
      if (key < end) {
        a = k[${keysAt}u + k_at + key * K_PITCH + i % QUADS];
        b = v[${valuesAt}u + k_at + key * K_PITCH + i % QUADS];
      }
      keys[i] = a;
      values[i] = b;
    }
    workgroupBarrier();
    var scores: array<f32, BLOCK>;
    var block_highest = highest;
    for (var j = 0u; j < BLOCK; j++) {
      var s = 0.0f;
      for (var d = 0u; d < QUADS; d++) { s += dot(mine[d], keys[j * QUADS + d]); }
      if (start + j >= visible || start + j >= end) { s = -3.0e38f; }
      scores[j] = s;
      block_highest = max(block_highest, s);
    }
    let fade = exp(highest - block_highest);
    highest = block_highest;
    total *= fade;
    for (var d = 0u; d < QUADS; d++) { sum[d] *= fade; }
    for (var j = 0u; j < BLOCK; j++) {
      let p = select(0.0f, exp(scores[j] - highest), scores[j] > -2.9e38f);
      total += p;
      for (var d = 0u; d < QUADS; d++) { sum[d] += p * values[j * QUADS + d]; }
    }
  }
  if (query < queries) {
    let y_at = (first_row + query) * ${width}u + wid.y * QUADS;
    for (var d = 0u; d < QUADS; d++) { y[y_at + d] = sum[d] / total; }
  }
}`,
  );
}
