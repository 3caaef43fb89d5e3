import { SPREAD_BUILTINS, SPREAD_INDEX } from '../../engine/grid.ts';
import type { Program } from '../../engine/program.ts';
import { float, floats, params, program, vectors, words } from '../../engine/program.ts';
import { epilogueBindings, epilogueCode } from './epilogue.ts';
import type { MatvecOptions } from './options.ts';
import { UNIT, weightCode } from './weight-code.ts';
import { SILU } from './wgsl.ts';

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

/**
 * One row of x. Threads take units of 16 columns of four rows; one thread per row then adds up what its lanes
 * found. The lanes of a team see all of x, so the mean square of a norm comes along: products are taken with
 * x·norm_weight and the sum is scaled at the end.
 */
export function matvecProgram(options: MatvecOptions): Program {
  const { scheme, columns, features, part, epilogue, norm, gated = false, candidates } = options;
  const { bindings, order, functions } = weightCode(scheme, part.bufferRows, columns);
  const lanes = lanesOf(columns);
  const teams = THREADS / lanes;
  const [team, lane] =
    order === 'rows' ? [`lid % ${teams}u`, `lid / ${teams}u`] : [`lid / ${lanes}u`, `lid % ${lanes}u`];
  const indexOf = (row: string) =>
    order === 'rows' ? `i * ${teams}u + ${row} / 4u` : `${row} / 4u * ${lanes}u + i`;
  const tail = columns % UNIT;
  const read = (array: string, i: number) =>
    tail === 0 || i * 4 < tail ? `${array}[unit * 4u + ${i}u]` : `${array}_at(unit * 4u + ${i}u)`;
  const guarded = (array: string) =>
    tail === 0
      ? ''
      : `fn ${array}_at(i: u32) -> vec4<f32> { if (i < ${columns / 4}u) { return ${array}[i]; } return vec4<f32>(); }`;
  const quads = [0, 1, 2, 3];
  const inputs = quads.map((i) => `v${i}`).join(', ');
  return program(
    `matvec ${scheme.kind}`,
    {
      params,
      x: vectors('read'),
      norm_weight: norm && vectors('read'),
      ...bindings,
      ...epilogueBindings(epilogue),
      y: floats('write'),
      best_values: candidates && floats('write'),
      best_indices: candidates && words('write'),
    },
    `
const THREADS = ${THREADS}u;
const FEATURES = ${features}u;
const PART_ROWS = ${part.rows}u;
const GROUP_ROWS = ${teams * 4}u;
${functions}
${gated ? SILU : ''}
${epilogueCode(epilogue, candidates !== undefined)}
${guarded('x')}
${norm ? guarded('norm_weight') : ''}
var<workgroup> partial: array<vec4<f32>, THREADS>;
${gated ? 'var<workgroup> partial_gate: array<vec4<f32>, THREADS>;' : ''}
${norm ? 'var<workgroup> partial_squares: array<f32, THREADS>;' : ''}
${candidates ? 'var<workgroup> results: array<f32, GROUP_ROWS>;' : ''}

@compute @workgroup_size(THREADS)
fn main(${SPREAD_BUILTINS}) {
  let group = ${SPREAD_INDEX};
  let team = ${team};
  let lane = ${lane};
  let row0 = (group * ${teams}u + team) * 4u;
  var sums = vec4<f32>();
  ${gated ? 'var gate_sums = vec4<f32>();' : ''}
  ${norm ? 'var squares = 0.0f;' : ''}
  if (row0 < PART_ROWS) {
    for (var unit = lane; unit < UNITS; unit += ${lanes}u) {
      ${quads.map((i) => `${norm ? 'var' : 'let'} v${i} = ${read('x', i)};`).join(' ')}
      ${norm ? `squares += ${quads.map((i) => `dot(v${i}, v${i})`).join(' + ')};` : ''}
      ${norm ? quads.map((i) => `v${i} *= ${read('norm_weight', i)};`).join(' ') : ''}
      sums += dot_rows(${part.first}u + row0, unit, ${inputs});
      ${gated ? `gate_sums += dot_rows(${part.first - part.rows}u + row0, unit, ${inputs});` : ''}
    }
  }
  partial[lid] = sums;
  ${gated ? 'partial_gate[lid] = gate_sums;' : ''}
  ${norm ? 'partial_squares[lid] = squares;' : ''}
  workgroupBarrier();
  // lid < rows of the workgroup: there are at most as many rows as threads
  let my_row = group * GROUP_ROWS + lid;
  if (lid < GROUP_ROWS && my_row < PART_ROWS) {
    var total = 0.0f;
    ${gated ? 'var gate = 0.0f;' : ''}
    ${norm ? 'var square = 0.0f;' : ''}
    for (var i = 0u; i < ${lanes}u; i++) {
      let at = ${indexOf('lid')};
      total += partial[at][lid % 4u];
      ${gated ? 'gate += partial_gate[at][lid % 4u];' : ''}
      ${norm ? 'square += partial_squares[at];' : ''}
    }
    ${norm ? `let factor = 1.0f / sqrt(square / ${columns}.0f + ${float(norm.epsilon)});\n    total *= factor;` : ''}
    ${gated ? `total *= silu(gate${norm ? ' * factor' : ''});` : ''}
    ${candidates ? 'results[lid] = ' : ''}finish(0u, ${part.offset}u + my_row, total);
  }
${candidates ? candidateCode(part.offset, candidates.offset) : ''}
}`,
  );
}

/** The lowest index among equals, as a scan finds it. Surplus workgroups of a spread grid have no row. */
function candidateCode(featureOffset: number, offset: number): string {
  return `  workgroupBarrier();
  let first_row = group * GROUP_ROWS;
  if (lid == 0u && first_row < PART_ROWS) {
    var best = 0u;
    for (var i = 1u; i < min(GROUP_ROWS, PART_ROWS - first_row); i++) {
      if (results[i] > results[best]) { best = i; }
    }
    best_values[${offset}u + group] = results[best];
    best_indices[${offset}u + group] = ${featureOffset}u + first_row + best;
  }`;
}
