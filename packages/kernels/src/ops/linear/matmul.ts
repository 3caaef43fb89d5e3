import type { Program } from '../../engine/program.ts';
import { floats, params, program, vectors } from '../../engine/program.ts';
import { rowsExpression } from '../../engine/recorder.ts';
import { epilogueBindings, epilogueCode } from './epilogue.ts';
import type { LinearOptions } from './options.ts';
import { weightCode } from './weight-code.ts';

/** Rows of x and features of y that a workgroup computes. */
export const TILE_ROWS = 32;
export const TILE_FEATURES = 64;
const THREADS = 128;
/** Columns of a step: two units, so that each thread decodes one unit of weights. */
const STEP_UNITS = 2;

/**
 * Many rows of x. Per step, x [32, 32] and decoded weights [64, 32] go to workgroup memory as vec4 along the
 * columns (rows padded by one vec4 against bank conflicts, 13.5 KiB in all); each thread sums 4 × 4 outputs.
 */
export function matmulProgram(options: LinearOptions): Program {
  const { scheme, rows, columns, features, part, epilogue } = options;
  const { bindings, order, functions } = weightCode(scheme, part.rows, columns);
  const [row, unit] =
    order === 'rows'
      ? [`lid % ${TILE_FEATURES}u`, `lid / ${TILE_FEATURES}u`]
      : [`lid / ${STEP_UNITS}u`, `lid % ${STEP_UNITS}u`];
  return program(
    `matmul ${scheme.kind}`,
    { params, x: vectors('read'), ...bindings, ...epilogueBindings(epilogue), y: floats('write') },
    `
const FEATURES = ${features}u;
const QUADS_OF_X = ${columns / 4}u;
const PITCH = ${STEP_UNITS * 4 + 1}u;
${functions}
${epilogueCode(epilogue)}
var<workgroup> xs: array<vec4<f32>, ${TILE_ROWS}u * PITCH>;
var<workgroup> ws: array<vec4<f32>, ${TILE_FEATURES}u * PITCH>;

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let count = ${rowsExpression(rows)};
  let first_feature = wid.x * ${TILE_FEATURES}u;
  let first_row = wid.y * ${TILE_ROWS}u;
  let load_row = ${row};
  let load_unit = ${unit};
  let column = lid % 16u;
  let line = lid / 16u;
  var sums: array<vec4<f32>, 4>;
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
    var w = array<vec4<f32>, 4>();
    if (first_feature + load_row < ROWS && unit0 + load_unit < UNITS) {
      w = weights(first_feature + load_row, unit0 + load_unit);
    }
    for (var i = 0u; i < 4u; i++) { ws[load_row * PITCH + load_unit * 4u + i] = w[i]; }
    workgroupBarrier();
    for (var q = 0u; q < ${STEP_UNITS * 4}u; q++) {
      let w0 = ws[column * PITCH + q];
      let w1 = ws[(column + 16u) * PITCH + q];
      let w2 = ws[(column + 32u) * PITCH + q];
      let w3 = ws[(column + 48u) * PITCH + q];
      for (var i = 0u; i < 4u; i++) {
        let a = xs[(line + i * 8u) * PITCH + q];
        sums[i] += vec4(dot(a, w0), dot(a, w1), dot(a, w2), dot(a, w3));
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u; i++) {
    let r = first_row + line + i * 8u;
    for (var j = 0u; j < 4u; j++) {
      let feature = first_feature + column + j * 16u;
      if (r < count && feature < ROWS) { finish(r, ${part.offset}u + feature, sums[i][j]); }
    }
  }
}`,
  );
}
