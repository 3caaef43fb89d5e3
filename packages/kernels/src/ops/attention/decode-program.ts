import type { Program } from '../../engine/program.ts';
import { float, floats, params, program, vectors } from '../../engine/program.ts';
import type { AttentionOptions } from './program.ts';

const THREADS = 128;

/**
 * Attention of the single newest token over the cache, one workgroup per head. A chunk of 128 keys at a time:
 * first a thread per key (score), then a thread per feature and slice of the chunk (weighted sum).
 */
export function decodeAttentionProgram(options: Omit<AttentionOptions, 'span'>): Program {
  const { heads, keyValueHeads, headDim } = options;
  const quads = headDim / 4;
  const slices = Math.floor(THREADS / headDim);
  return program(
    'attention decode',
    { params, q: vectors('read'), k: vectors('read'), v: floats('read'), y: floats('write') },
    `
const THREADS = ${THREADS}u;
const DIM = ${headDim}u;
const QUADS = ${quads}u;
const SLICES = ${slices}u;
const PITCH = ${keyValueHeads * quads}u;
var<workgroup> mine: array<vec4<f32>, QUADS>;
var<workgroup> weights: array<f32, THREADS>;
var<workgroup> partial: array<f32, THREADS>;

fn max_all(lid: u32, value: f32) -> f32 {
  partial[lid] = value;
  for (var step = THREADS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lid < step) { partial[lid] = max(partial[lid], partial[lid + step]); }
  }
  return workgroupUniformLoad(&partial[0]);
}
fn sum_all(lid: u32, value: f32) -> f32 {
  partial[lid] = value;
  for (var step = THREADS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lid < step) { partial[lid] += partial[lid + step]; }
  }
  return workgroupUniformLoad(&partial[0]);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let head = wid.x;
  let length = params.past + 1u;
  let k_at = (head / ${heads / keyValueHeads}u) * QUADS;
  if (lid < QUADS) { mine[lid] = q[head * QUADS + lid] * ${float(1 / Math.sqrt(headDim))}; }
  workgroupBarrier();
  let feature = lid % DIM;
  let slice = lid / DIM;
  var highest = -3.0e38f;
  var total = 0.0f;
  var sum = 0.0f;
  for (var start = 0u; start < length; start += THREADS) {
    let key = start + lid;
    var s = -3.0e38f;
    if (key < length) {
      s = 0.0f;
      for (var d = 0u; d < QUADS; d++) { s += dot(mine[d], k[k_at + key * PITCH + d]); }
    }
    let now = max(highest, max_all(lid, s));
    let fade = exp(highest - now);
    highest = now;
    let p = select(0.0f, exp(s - now), key < length);
    weights[lid] = p;
    total = total * fade + sum_all(lid, p);
    sum *= fade;
    if (slice < SLICES) {
      let chunk = min(THREADS, length - start);
      for (var j = slice; j < chunk; j += SLICES) {
        sum += weights[j] * v[(k_at + (start + j) * PITCH) * 4u + feature];
      }
    }
    workgroupBarrier();
  }
  partial[lid] = sum;
  workgroupBarrier();
  if (lid < DIM) {
    var joined = partial[lid];
    for (var i = 1u; i < SLICES; i++) { joined += partial[lid + i * DIM]; }
    y[head * DIM + lid] = joined / total;
  }
}`,
  );
}
