import type { Program } from '../../engine/program.ts';
import { float, params, program, vectors } from '../../engine/program.ts';
import type { AttentionOptions } from './span.ts';
import { spanCode } from './span.ts';

/** Queries of a workgroup, one per thread. */
export const QUERIES = 64;
/** Half of the default 16 KiB of workgroup memory each for a block of keys and of values, in floats. */
const BLOCK_FLOATS = 2048;
const MAX_BLOCK_KEYS = 32;

/**
 * Attention with online softmax: a thread keeps its query and sum in registers while blocks of keys and
 * values pass through workgroup memory. Head h reads key-value head ⌊h / (heads/keyValueHeads)⌋.
 */
export function attentionProgram(options: AttentionOptions): Program {
  const { heads, keyValueHeads, headDim, span } = options;
  const quads = headDim / 4;
  const block = Math.min(MAX_BLOCK_KEYS, Math.floor(BLOCK_FLOATS / headDim));
  const { bindings, queryPitch, functions, frame, visible } = spanCode(options);
  return program(
    `attention ${span.kind}`,
    { params, q: vectors('read'), ...bindings, y: vectors('write') },
    `
const QUERIES = ${QUERIES}u;
const QUADS = ${quads}u;
const BLOCK = ${block}u;
${functions}
var<workgroup> k_block: array<vec4<f32>, BLOCK * QUADS>;
var<workgroup> v_block: array<vec4<f32>, BLOCK * QUADS>;

@compute @workgroup_size(QUERIES)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let query = wid.x * QUERIES + lid;
  ${frame('QUERIES')}
  let visible = ${visible('query')};
  let q_at = (first_row + query) * ${queryPitch}u + wid.y * QUADS;
  let kv = wid.y / ${heads / keyValueHeads}u;
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
        a = keys_at(first_row + key, kv, i % QUADS) * keys_scale(first_row + key, kv);
        b = values_at(first_row + key, kv, i % QUADS) * values_scale(first_row + key, kv);
      }
      k_block[i] = a;
      v_block[i] = b;
    }
    workgroupBarrier();
    var scores: array<f32, BLOCK>;
    var block_highest = highest;
    for (var j = 0u; j < BLOCK; j++) {
      var s = 0.0f;
      for (var d = 0u; d < QUADS; d++) { s += dot(mine[d], k_block[j * QUADS + d]); }
      if (start + j >= visible) { s = -3.0e38f; }
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
      for (var d = 0u; d < QUADS; d++) { sum[d] += p * v_block[j * QUADS + d]; }
    }
  }
  if (query < queries) {
    let y_at = (first_row + query) * ${heads * quads}u + wid.y * QUADS;
    for (var d = 0u; d < QUADS; d++) { y[y_at + d] = sum[d] / total; }
  }
}`,
  );
}
