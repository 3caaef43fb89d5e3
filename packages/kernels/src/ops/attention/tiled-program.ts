import type { Program } from '../../engine/program.ts';
import { float, params, program, vectors } from '../../engine/program.ts';
import type { AttentionOptions } from './span.ts';
import { spanCode } from './span.ts';

export interface TileShape {
  /** Queries of a workgroup. */
  readonly queries: number;
  /** Keys, and values, that pass at a time. */
  readonly keys: number;
}

/** Tiles that fit 16 KiB with scores and row statistics: 14.6 KiB at headDim 64, 13.3 at 128. */
export function tileShape(headDim: number): TileShape {
  return headDim <= 64 ? { queries: 32, keys: 16 } : { queries: 16, keys: 8 };
}

/**
 * Flash attention: a workgroup of one head has a tile of queries; tiles of keys, then of values, take turns in one
 * piece of workgroup memory. Each thread computes scores of one key with several queries, then adds to four
 * features of several queries; softmax runs online, a thread for each query.
 */
export function tiledAttentionProgram(options: AttentionOptions, threads: number): Program {
  const { heads, keyValueHeads, headDim, span } = options;
  const quads = headDim / 4;
  const { queries, keys } = tileShape(headDim);
  const { bindings, queryPitch, functions, frame, visible } = spanCode(options);
  const lines = threads / keys;
  const range = (count: number) => Array.from({ length: count }, (_, i) => i);
  // Scores: fewer queries than lines leave threads without any.
  const scoreRows = range(Math.ceil(queries / lines)).map((i) => `line + ${i * lines}u`);
  const allLinesScore = queries % lines === 0;
  // Sums: threads take (query, quad) pairs; where the quads divide the threads a thread keeps to one quad.
  const oneQuad = threads % quads === 0;
  const pairs = range(Math.ceil((queries * quads) / threads)).map((i) => ({
    i,
    query: oneQuad ? `(lid / QUADS + ${(i * threads) / quads}u)` : `((lid + ${i * threads}u) / QUADS)`,
    quad: oneQuad ? 'lid % QUADS' : `(lid + ${i * threads}u) % QUADS`,
    isWhole: (i + 1) * threads <= queries * quads,
  }));
  const ofPairs = (code: (pair: (typeof pairs)[number]) => string) =>
    pairs
      .map((pair) => (pair.isWhole ? code(pair) : `if (${pair.query} < TILE) { ${code(pair)} }`))
      .join('\n      ');
  return program(
    `attention tiled ${span.kind}`,
    { params, q: vectors('read'), ...bindings, y: vectors('write') },
    `
const THREADS = ${threads}u;
const TILE = ${queries}u;
const KEYS = ${keys}u;
const QUADS = ${quads}u;
// rows padded against bank conflicts
const PITCH = ${quads + 1}u;
const SCORE_PITCH = ${keys + 1}u;
${functions}
var<workgroup> qs: array<vec4<f32>, TILE * QUADS>;
var<workgroup> kv_tile: array<vec4<f32>, KEYS * PITCH>;
var<workgroup> scores: array<f32, TILE * SCORE_PITCH>;
var<workgroup> highest: array<f32, TILE>;
var<workgroup> totals: array<f32, TILE>;
var<workgroup> fades: array<f32, TILE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  ${frame('TILE')}
  let first_query = wid.x * TILE;
  let kv = wid.y / ${heads / keyValueHeads}u;
  for (var i = lid; i < TILE * QUADS; i += THREADS) {
    let query = first_query + i / QUADS;
    var v = vec4<f32>();
    if (query < queries) { v = q[(first_row + query) * ${queryPitch}u + wid.y * QUADS + i % QUADS]; }
    qs[i] = v * ${float(1 / Math.sqrt(headDim))};
  }
  if (lid < TILE) {
    highest[lid] = -3.0e38f;
    totals[lid] = 0.0f;
  }
  let column = lid % KEYS;
  let line = lid / KEYS;
  ${pairs.map(({ i }) => `var sum${i} = vec4<f32>();`).join(' ')}
  for (var start = 0u; start < end; start += KEYS) {
    for (var i = lid; i < KEYS * QUADS; i += THREADS) {
      let key = start + i / QUADS;
      var v = vec4<f32>();
      if (key < end) { v = keys_at(first_row + key, kv, i % QUADS) * keys_scale(first_row + key, kv); }
      kv_tile[i / QUADS * PITCH + i % QUADS] = v;
    }
    workgroupBarrier();
    ${allLinesScore ? '{' : `if (line < TILE) {`}
      ${scoreRows.map((_, i) => `var s${i} = 0.0f;`).join(' ')}
      for (var d = 0u; d < QUADS; d++) {
        let k = kv_tile[column * PITCH + d];
        ${scoreRows.map((row, i) => `s${i} += dot(qs[(${row}) * QUADS + d], k);`).join('\n        ')}
      }
      ${scoreRows
        .map(
          (row, i) =>
            `scores[(${row}) * SCORE_PITCH + column] = select(-3.0e38f, s${i}, start + column < ${visible(`(first_query + ${row})`)});`,
        )
        .join('\n      ')}
    }
    workgroupBarrier();
    for (var i = lid; i < KEYS * QUADS; i += THREADS) {
      let key = start + i / QUADS;
      var v = vec4<f32>();
      if (key < end) { v = values_at(first_row + key, kv, i % QUADS) * values_scale(first_row + key, kv); }
      kv_tile[i / QUADS * PITCH + i % QUADS] = v;
    }
    if (lid < TILE) {
      let before = highest[lid];
      var top = before;
      for (var j = 0u; j < KEYS; j++) { top = max(top, scores[lid * SCORE_PITCH + j]); }
      let fade = exp(before - top);
      var total = totals[lid] * fade;
      for (var j = 0u; j < KEYS; j++) {
        let s = scores[lid * SCORE_PITCH + j];
        let p = select(0.0f, exp(s - top), s > -2.9e38f);
        scores[lid * SCORE_PITCH + j] = p;
        total += p;
      }
      highest[lid] = top;
      totals[lid] = total;
      fades[lid] = fade;
    }
    workgroupBarrier();
    ${ofPairs(({ i, query }) => `sum${i} *= fades[${query}];`)}
    for (var j = 0u; j < KEYS; j++) {
      ${oneQuad ? 'let v = kv_tile[j * PITCH + lid % QUADS];' : ''}
      ${ofPairs(({ i, query, quad }) => {
        const v = oneQuad ? 'v' : `kv_tile[j * PITCH + ${quad}]`;
        return `sum${i} += scores[${query} * SCORE_PITCH + j] * ${v};`;
      })}
    }
    workgroupBarrier();
  }
  ${ofPairs(
    ({ i, query, quad }) => `if (first_query + ${query} < queries) {
      y[(first_row + first_query + ${query}) * ${heads * quads}u + wid.y * QUADS + ${quad}] = sum${i} / totals[${query}];
    }`,
  )}
}`,
  );
}
