import type { Program } from '../../engine/program.ts';
import { floats, params, program, vectors } from '../../engine/program.ts';
import { rowsExpression } from '../../engine/recorder.ts';
import { epilogueBindings, epilogueCode } from './epilogue.ts';
import type { LinearOptions } from './options.ts';
import { weightCode } from './weight-code.ts';

/** Rows of x and features of y that a workgroup computes. */
export const TILE_ROWS = 32;
export const TILE_FEATURES = 64;
const THREADS = 64;
/** Units of 16 columns that a step takes. */
const STEP_UNITS = 2;
/** Neighbouring features that neighbouring threads take; each thread takes four, this far apart. */
const COLUMNS = 16;

/**
 * Many rows of x. Per step, x [32, 32] and decoded weights [64, 32] go to workgroup memory as vec4 along the
 * columns (rows padded by one vec4 against bank conflicts, 13.5 KiB in all); each thread sums 8 × 4
 * outputs. Sums are named, not an array: software adapters are slow at arrays indexed by a variable.
 */
export function matmulProgram(options: LinearOptions): Program {
  const { scheme, rows, columns, features, part, epilogue } = options;
  const { bindings, order, functions } = weightCode(scheme, part.bufferRows, columns);
  const [row, unit] =
    order === 'rows'
      ? [`i % ${TILE_FEATURES}u`, `i / ${TILE_FEATURES}u`]
      : [`i / ${STEP_UNITS}u`, `i % ${STEP_UNITS}u`];
  const lines = THREADS / COLUMNS;
  const rowsOfThread = Array.from({ length: TILE_ROWS / lines }, (_, i) => i);
  const featuresOfThread = Array.from({ length: TILE_FEATURES / COLUMNS }, (_, j) => j);
  return program(
    `matmul ${scheme.kind}`,
    { params, x: vectors('read'), ...bindings, ...epilogueBindings(epilogue), y: floats('write') },
    `
const FEATURES = ${features}u;
const PART_ROWS = ${part.rows}u;
const QUADS_OF_X = ${columns / 4}u;
const PITCH = ${STEP_UNITS * 4 + 1}u;
${functions}
${epilogueCode(epilogue)}
var<workgroup> xs: array<vec4<f32>, ${TILE_ROWS}u * PITCH>;
var<workgroup> ws: array<vec4<f32>, ${TILE_FEATURES}u * PITCH>;

fn finish_row(row: u32, count: u32, feature: u32, sums: vec4<f32>) {
  if (row >= count) { return; }
  ${featuresOfThread
    .map((j) => {
      const at = `feature + ${j * COLUMNS}u`;
      return `if (${at} < PART_ROWS) { finish(row, ${part.offset}u + ${at}, sums[${j}]); }`;
    })
    .join('\n  ')}
}

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let count = ${rowsExpression(rows)};
  let first_feature = wid.x * ${TILE_FEATURES}u;
  let first_row = wid.y * ${TILE_ROWS}u;
  let column = lid % ${COLUMNS}u;
  let line = lid / ${COLUMNS}u;
  ${rowsOfThread.map((i) => `var sums${i} = vec4<f32>();`).join(' ')}
  for (var unit0 = 0u; unit0 < UNITS; unit0 += ${STEP_UNITS}u) {
    for (var i = lid; i < ${TILE_ROWS * STEP_UNITS * 4}u; i += ${THREADS}u) {
      let r = i / ${STEP_UNITS * 4}u;
      let q = i % ${STEP_UNITS * 4}u;
      let at = unit0 * 4u + q;
      // explicit, here and below: SwiftShader does not zero a declaration anew in each turn of a loop
      var v = vec4<f32>();
      if (first_row + r < count && at < QUADS_OF_X) { v = x[(first_row + r) * QUADS_OF_X + at]; }
      xs[r * PITCH + q] = v;
    }
    for (var i = lid; i < ${TILE_FEATURES * STEP_UNITS}u; i += ${THREADS}u) {
      let row = ${row};
      let unit = ${unit};
      var w = array<vec4<f32>, 4>();
      if (first_feature + row < PART_ROWS && unit0 + unit < UNITS) { w = weights(${part.first}u + first_feature + row, unit0 + unit); }
      let to = row * PITCH + unit * 4u;
      ws[to] = w[0];
      ws[to + 1u] = w[1];
      ws[to + 2u] = w[2];
      ws[to + 3u] = w[3];
    }
    workgroupBarrier();
    for (var q = 0u; q < ${STEP_UNITS * 4}u; q++) {
      ${featuresOfThread.map((j) => `let w${j} = ws[(column + ${j * COLUMNS}u) * PITCH + q];`).join('\n      ')}
      ${rowsOfThread
        .map((i) => {
          const dots = featuresOfThread.map((j) => `dot(a${i}, w${j})`).join(', ');
          return `let a${i} = xs[(line + ${i * lines}u) * PITCH + q];\n      sums${i} += vec4(${dots});`;
        })
        .join('\n      ')}
    }
    workgroupBarrier();
  }
  ${rowsOfThread.map((i) => `finish_row(first_row + line + ${i * lines}u, count, first_feature + column, sums${i});`).join('\n  ')}
}`,
  );
}
