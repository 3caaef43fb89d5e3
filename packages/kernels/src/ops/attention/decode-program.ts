import type { Program } from '../../engine/program.ts';
import { float, floats, params, program, vectors } from '../../engine/program.ts';
import { cacheBinding, cacheReader } from '../kv-cache/format.ts';
import type { RopeOptions } from '../rope-cache/code.ts';
import { ropeCode } from '../rope-cache/code.ts';

export interface DecodeOptions extends RopeOptions {
  /** Workgroups that share the keys of a head. */
  readonly splits: number;
}

/** A workgroup takes 64 keys at a time, one a thread. */
const THREADS = 64;
/** Quads of a key, and values, that a thread asks for before it uses the first. */
const AHEAD = 4;
/** Query heads whose registers and workgroup memory one workgroup has room for. */
const MAX_GROUP = 8;

/** Query heads that a workgroup computes: they share a key-value head, which is read once for them. */
export function headsTogether({ heads, keyValueHeads }: DecodeOptions): number {
  const group = heads / keyValueHeads;
  let together = Math.min(group, MAX_GROUP);
  while (group % together !== 0) together--;
  return together;
}

/** Keys of each split, whole chunks, so that a short past keeps to few splits; and how many of those have keys. */
const SPLIT_CODE = (splits: number) => `
const SPLITS = ${splits}u;
fn span_of(length: u32) -> u32 {
  let chunks = (length + ${THREADS - 1}u) / ${THREADS}u;
  return (chunks + SPLITS - 1u) / SPLITS * ${THREADS}u;
}`;

/**
 * Attention of the newest token, from its q, k and v side by side: split s of a key-value head takes its span of the
 * cache for all query heads that share it. The split that has the newest position first writes rotated k, and v,
 * to the cache. Writes unnormalised sums [heads, splits, headDim], and (largest score, sum of powers)
 * [heads, splits], which `mergeProgram` joins.
 */
export function decodeProgram(options: DecodeOptions): Program {
  const { heads, keyValueHeads, headDim, format, splits } = options;
  const quads = headDim / 4;
  const group = headsTogether(options);
  const slices = Math.floor(THREADS / quads);
  const shape = { keyValueHeads, headDim };
  // Loads that wait for each other make the time of a short past: several are under way at once.
  const ahead = quads % AHEAD === 0 ? AHEAD : 1;
  const loads = Array.from({ length: AHEAD }, (_, i) => i);
  const each = (code: (g: number) => string) =>
    Array.from({ length: group }, (_, g) => code(g)).join('\n    ');
  return program(
    'attention decode',
    {
      params,
      qkv: floats('read'),
      table: { type: 'array<vec2<f32>>', access: 'read' },
      keys: cacheBinding(format, 'write'),
      values: cacheBinding(format, 'write'),
      sums: vectors('write'),
      stats: { type: 'array<vec2<f32>>', access: 'write' },
    },
    `
const THREADS = ${THREADS}u;
const GROUP = ${group}u;
const QUADS = ${quads}u;
const SLICES = ${slices}u;
${SPLIT_CODE(splits)}
${ropeCode(options)}
${cacheReader(format, shape, 'keys')}
${cacheReader(format, shape, 'values')}
var<workgroup> mine: array<vec4<f32>, GROUP * QUADS>;
var<workgroup> weights: array<f32, GROUP * THREADS>;
var<workgroup> highest_of: array<f32, GROUP * 8u>;
var<workgroup> joined: array<vec4<f32>, GROUP * THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let split = wid.x;
  let head0 = wid.y * GROUP;
  let kv = head0 / ${heads / keyValueHeads}u;
  let length = params.past + 1u;
  let span = span_of(length);
  let start = split * span;
  if (start >= length) { return; }
  let end = min(length, start + span);
  if (end == length) {
    for (var i = lid; i < 2u * QUADS; i += THREADS) {
      cache_quad(0u, params.past, kv + i / QUADS * ${keyValueHeads}u, i % QUADS);
    }
  }
  for (var i = lid; i < GROUP * QUADS; i += THREADS) {
    mine[i] = rotated_quad((head0 + i / QUADS) * ${headDim}u, params.past, i % QUADS) * ${float(1 / Math.sqrt(headDim))};
  }
  storageBarrier();
  workgroupBarrier();
  let quad = lid % QUADS;
  let slice = lid / QUADS;
  ${each((g) => `var highest${g} = -3.0e38f; var total${g} = 0.0f; var sum${g} = vec4<f32>();`)}
  for (var chunk = start; chunk < end; chunk += THREADS) {
    let key = chunk + lid;
    ${each((g) => `var s${g} = 0.0f;`)}
    if (key < end) {
      for (var d = 0u; d < QUADS; d += ${ahead}u) {
        ${loads
          .slice(0, ahead)
          .map((i) => `let k${i} = keys_at(key, kv, d + ${i}u);`)
          .join(' ')}
        ${each((g) =>
          loads
            .slice(0, ahead)
            .map((i) => `s${g} += dot(mine[${g}u * QUADS + d + ${i}u], k${i});`)
            .join(' '),
        )}
      }
      let scale = keys_scale(key, kv);
      ${each((g) => `s${g} *= scale;`)}
    } else {
      ${each((g) => `s${g} = -3.0e38f;`)}
    }
    ${each((g) => `weights[${g}u * THREADS + lid] = s${g};`)}
    workgroupBarrier();
    if (lid < GROUP * 8u) {
      let at = lid / 8u * THREADS + lid % 8u * 8u;
      var top = weights[at];
      for (var i = 1u; i < 8u; i++) { top = max(top, weights[at + i]); }
      highest_of[lid] = top;
    }
    workgroupBarrier();
    let valid = key < end;
    var v_scale = 0.0f;
    if (valid) { v_scale = values_scale(key, kv); }
    ${each(
      (g) => `var top${g} = highest${g};
    for (var i = 0u; i < 8u; i++) { top${g} = max(top${g}, highest_of[${g * 8}u + i]); }
    let fade${g} = exp(highest${g} - top${g});
    highest${g} = top${g};
    let p${g} = select(0.0f, exp(s${g} - top${g}), valid);
    total${g} = total${g} * fade${g} + p${g};
    sum${g} *= fade${g};
    weights[${g}u * THREADS + lid] = p${g} * v_scale;`,
    )}
    workgroupBarrier();
    if (slice < SLICES) {
      // keys beyond the end have weight zero
      for (var j = slice; j < THREADS; j += SLICES * ${AHEAD}u) {
        ${loads.map((i) => `let j${i} = min(j + ${i}u * SLICES, THREADS - 1u); let v${i} = values_at(min(chunk + j${i}, end - 1u), kv, quad);`).join('\n        ')}
        ${loads
          .slice(1)
          .map((i) => `let more${i} = select(0.0f, 1.0f, j + ${i}u * SLICES < THREADS);`)
          .join(' ')}
        ${each((g) =>
          loads
            .map((i) => `sum${g} += weights[${g}u * THREADS + j${i}] * ${i === 0 ? '' : `more${i} * `}v${i};`)
            .join(' '),
        )}
      }
    }
    workgroupBarrier();
  }
  ${each((g) => `joined[${g}u * THREADS + lid] = sum${g}; weights[${g}u * THREADS + lid] = total${g};`)}
  if (lid == 0u) { ${each((g) => `highest_of[${g}] = highest${g};`)} }
  workgroupBarrier();
  for (var i = lid; i < GROUP * QUADS; i += THREADS) {
    let at = i / QUADS * THREADS + i % QUADS;
    var sum = joined[at];
    for (var j = 1u; j < SLICES; j++) { sum += joined[at + j * QUADS]; }
    sums[((head0 + i / QUADS) * SPLITS + split) * QUADS + i % QUADS] = sum;
  }
  var part = 0.0f;
  if (lid < GROUP * 8u) {
    for (var i = 0u; i < 8u; i++) { part += weights[lid / 8u * THREADS + lid % 8u * 8u + i]; }
  }
  workgroupBarrier();
  weights[lid] = part;
  workgroupBarrier();
  if (lid < GROUP) {
    var total = 0.0f;
    for (var i = 0u; i < 8u; i++) { total += weights[lid * 8u + i]; }
    stats[(head0 + lid) * SPLITS + split] = vec2(highest_of[lid], total);
  }
}`,
  );
}

/** Sums and stats of the splits → [heads·headDim], one workgroup per head. */
export function mergeProgram({ headDim, splits }: DecodeOptions): Program {
  const quads = headDim / 4;
  const loads = Array.from({ length: AHEAD }, (_, i) => i);
  return program(
    'attention merge',
    {
      params,
      sums: vectors('read'),
      stats: { type: 'array<vec2<f32>>', access: 'read' },
      y: vectors('write'),
    },
    `
const THREADS = ${THREADS}u;
const QUADS = ${quads}u;
const SLICES = ${Math.floor(THREADS / quads)}u;
${SPLIT_CODE(splits)}
var<workgroup> joined: array<vec4<f32>, THREADS>;
var<workgroup> totals: array<f32, THREADS>;
var<workgroup> highest_of: array<f32, THREADS>;
var<workgroup> shares: array<f32, SPLITS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let length = params.past + 1u;
  let span = span_of(length);
  let count = (length + span - 1u) / span;
  let first = wid.x * SPLITS;
  var highest = -3.0e38f;
  for (var i = lid; i < count; i += THREADS) { highest = max(highest, stats[first + i].x); }
  highest_of[lid] = highest;
  workgroupBarrier();
  for (var i = 0u; i < min(count, THREADS); i++) { highest = max(highest, highest_of[i]); }
  var total = 0.0f;
  for (var i = lid; i < count; i += THREADS) {
    let of_split = stats[first + i];
    let share = exp(of_split.x - highest);
    shares[i] = share;
    total += share * of_split.y;
  }
  totals[lid] = total;
  workgroupBarrier();
  let quad = lid % QUADS;
  let slice = lid / QUADS;
  var sum = vec4<f32>();
  if (slice < SLICES) {
    for (var i = slice; i < count; i += SLICES * ${AHEAD}u) {
      ${loads
        .map(
          (i) =>
            `let i${i} = i + ${i}u * SLICES; let v${i} = sums[(first + min(i${i}, count - 1u)) * QUADS + quad];`,
        )
        .join('\n      ')}
      ${loads.map((i) => `if (i${i} < count) { sum += shares[i${i}] * v${i}; }`).join('\n      ')}
    }
  }
  joined[lid] = sum;
  workgroupBarrier();
  if (lid < QUADS) {
    for (var j = 1u; j < SLICES; j++) { sum += joined[lid + j * QUADS]; }
    total = 0.0f;
    for (var i = 0u; i < min(count, THREADS); i++) { total += totals[i]; }
    y[wid.x * QUADS + lid] = sum / total;
  }
}`,
  );
}
