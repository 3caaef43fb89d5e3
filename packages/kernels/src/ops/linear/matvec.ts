import { SPREAD_BUILTINS, SPREAD_INDEX } from '../../engine/grid.ts';
import type { Program } from '../../engine/program.ts';
import { floats, params, program, vectors } from '../../engine/program.ts';
import { epilogueBindings, epilogueCode } from './epilogue.ts';
import type { LinearOptions } from './options.ts';
import { UNIT, weightCode } from './weight-code.ts';

const THREADS = 64;

/** Threads that share four rows: as many as there are units, within a warp's width. */
function lanesOf(columns: number): number {
  const units = Math.ceil(columns / UNIT);
  let lanes = 4;
  while (lanes < 32 && lanes < units) lanes *= 2;
  return lanes;
}

/** Weight rows of one workgroup: each thread sums four. */
export function matvecRows(columns: number): number {
  return (THREADS / lanesOf(columns)) * 4;
}

/** One row of x. Threads take units of 16 columns of four rows; one thread per row then adds up what its lanes found. */
export function matvecProgram(options: LinearOptions): Program {
  const { scheme, columns, features, part, epilogue } = options;
  const { bindings, order, functions } = weightCode(scheme, part.rows, columns);
  const lanes = lanesOf(columns);
  const teams = THREADS / lanes;
  const [team, lane] =
    order === 'rows' ? [`lid % ${teams}u`, `lid / ${teams}u`] : [`lid / ${lanes}u`, `lid % ${lanes}u`];
  const sumIndex = order === 'rows' ? `i * ${teams}u + lid / 4u` : `lid / 4u * ${lanes}u + i`;
  const tail = columns % UNIT;
  const xAt = (i: number) => (tail === 0 || i * 4 < tail ? `x[unit * 4u + ${i}u]` : `xs(unit * 4u + ${i}u)`);
  return program(
    `matvec ${scheme.kind}`,
    { params, x: vectors('read'), ...bindings, ...epilogueBindings(epilogue), y: floats('write') },
    `
const THREADS = ${THREADS}u;
const FEATURES = ${features}u;
${functions}
${epilogueCode(epilogue)}
${tail === 0 ? '' : `fn xs(i: u32) -> vec4<f32> { if (i < ${columns / 4}u) { return x[i]; } return vec4<f32>(); }`}
var<workgroup> partial: array<vec4<f32>, THREADS>;

@compute @workgroup_size(THREADS)
fn main(${SPREAD_BUILTINS}) {
  let team = ${team};
  let lane = ${lane};
  let row0 = ((${SPREAD_INDEX}) * ${teams}u + team) * 4u;
  var sums: vec4<f32>;
  if (row0 < ROWS) {
    for (var unit = lane; unit < UNITS; unit += ${lanes}u) {
      sums += dot_rows(row0, unit, ${[0, 1, 2, 3].map(xAt).join(', ')});
    }
  }
  partial[lid] = sums;
  workgroupBarrier();
  // lid < rows of the workgroup: there are at most as many rows as threads
  let my_row = (${SPREAD_INDEX}) * ${teams * 4}u + lid;
  if (lid < ${teams * 4}u && my_row < ROWS) {
    var total = 0.0f;
    for (var i = 0u; i < ${lanes}u; i++) { total += partial[${sumIndex}][lid % 4u]; }
    finish(0u, ${part.offset}u + my_row, total);
  }
}`,
  );
}
