import { SPREAD_BUILTINS, SPREAD_INDEX } from '../../engine/grid.ts';
import type { Need, Program } from '../../engine/program.ts';
import { float, floats, params, program, vectors, words } from '../../engine/program.ts';
import { epilogueBindings, epilogueCode } from './epilogue.ts';
import type { MatvecVariant } from './matvec-variants.ts';
import { lanesOf } from './matvec-variants.ts';
import type { MatvecOptions } from './options.ts';
import { quantizeCode } from './quantize-code.ts';
import type { TeamLayout } from './team-reduction.ts';
import { reduceTeams } from './team-reduction.ts';
import { UNIT, weightCode } from './weight-code.ts';
import { SILU } from './wgsl.ts';

const QUADS = [0, 1, 2, 3];

/** Workgroup memory that every device has (the specification's default limit). */
const WORKGROUP_BYTES = 16_384;

/** Whether the variant can compute this: integer products need codes, and x in workgroup memory. */
export function matvecSuits(variant: MatvecVariant, options: MatvecOptions): boolean {
  if (variant.product === 'float') return true;
  const { scheme, columns, part, gated } = options;
  if (weightCode(scheme, part.bufferRows, columns).integer === undefined) return false;
  const perThread = 16 * (gated ? 2 : 1) + 4;
  return Math.ceil(columns / UNIT) * (16 + 8) + variant.threads * perThread + 256 <= WORKGROUP_BYTES;
}

/**
 * One row of x. Threads take units of 16 columns of four rows; then the threads of a team add up what they
 * found. A team sees all of x, so the mean square of a norm comes along: products are taken with x·norm_weight
 * and the sum is scaled at the end.
 */
export function matvecProgram(options: MatvecOptions, variant: MatvecVariant): Program {
  const { scheme, columns, features, part, epilogue, norm, gated = false, candidates } = options;
  const { threads, reduction, product } = variant;
  const { bindings, order, functions, integer } = weightCode(scheme, part.bufferRows, columns);
  const lanes = lanesOf(variant, columns);
  const teams = threads / lanes;
  const layout: TeamLayout = { threads, lanes, order };
  const [team, lane] =
    order === 'rows' ? [`lid % ${teams}u`, `lid / ${teams}u`] : [`lid / ${lanes}u`, `lid % ${lanes}u`];
  const isInteger = product === 'integer';
  const reduced = reduceTeams(layout, reduction, [
    { name: 'sums', array: 'partial' },
    ...(gated ? [{ name: 'gate_sums', array: 'partial_gate' }] : []),
    ...(norm && !isInteger ? [{ name: 'squares', array: 'partial_squares' }] : []),
  ]);
  const needs: Need[] = [];
  if (reduction === 'subgroups') needs.push('subgroups');
  if (isInteger) needs.push('packed_4x8_integer_dot_product');
  const gateRow = part.first - part.rows;
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
const THREADS = ${threads}u;
const FEATURES = ${features}u;
const PART_ROWS = ${part.rows}u;
const GROUP_ROWS = ${teams * 4}u;
${functions}
${isInteger ? `${integer!.functions}\n${quantizeCode(integer!)}` : ''}
${gated ? SILU : ''}
${epilogueCode(epilogue, candidates !== undefined)}
${guardedRead('x', columns)}
${norm ? guardedRead('norm_weight', columns) : ''}
var<workgroup> partial: array<vec4<f32>, THREADS>;
${gated ? 'var<workgroup> partial_gate: array<vec4<f32>, THREADS>;' : ''}
${norm ? 'var<workgroup> partial_squares: array<f32, THREADS>;' : ''}
${candidates ? 'var<workgroup> results: array<f32, GROUP_ROWS>;' : ''}
${isInteger ? 'var<workgroup> x_codes: array<vec4<u32>, UNITS>;\nvar<workgroup> x_levels: array<vec2<f32>, UNITS>;' : ''}

@compute @workgroup_size(THREADS)
fn main(${SPREAD_BUILTINS}${reduced.builtins}) {
  let group = ${SPREAD_INDEX};
  let team = ${team};
  let lane = ${lane};
  let row0 = (group * ${teams}u + team) * 4u;
  var sums = vec4<f32>();
  ${gated ? 'var gate_sums = vec4<f32>();' : ''}
  ${norm ? 'var squares = 0.0f;' : ''}
  ${
    isInteger
      ? integerProducts({ columns, lanes, first: part.first, gateRow, norm: norm !== undefined, gated })
      : `if (row0 < PART_ROWS) {
    for (var unit = lane; unit < UNITS; unit += ${lanes}u) {
      ${readUnit(columns, norm !== undefined)}
      sums += dot_rows(${part.first}u + row0, unit, v0, v1, v2, v3);
      ${gated ? `gate_sums += dot_rows(${gateRow}u + row0, unit, v0, v1, v2, v3);` : ''}
    }
  }`
  }
  ${reduced.code}
  // lid < rows of the workgroup: there are at most as many rows as threads
  let my_row = group * GROUP_ROWS + lid;
  if (lid < GROUP_ROWS && my_row < PART_ROWS) {
    var total = 0.0f;
    ${gated ? 'var gate = 0.0f;' : ''}
    ${norm ? `var square = ${isInteger ? 'partial_squares[0]' : '0.0f'};` : ''}
    for (var i = 0u; i < ${reduced.count}; i++) {
      let at = ${reduced.at('lid / 4u')};
      total += partial[at][lid % 4u];
      ${gated ? 'gate += partial_gate[at][lid % 4u];' : ''}
      ${norm && !isInteger ? 'square += partial_squares[at];' : ''}
    }
    ${norm ? `let factor = 1.0f / sqrt(square / ${columns}.0f + ${float(norm.epsilon)});\n    total *= factor;` : ''}
    ${gated ? `total *= silu(gate${norm ? ' * factor' : ''});` : ''}
    ${candidates ? 'results[lid] = ' : ''}finish(0u, ${part.offset}u + my_row, total);
  }
${candidates ? candidateCode(part.offset, candidates.offset) : ''}
}`,
    needs,
  );
}

/** `fn NAME_at(i)`: a vec4 of an array of `columns` floats, zero beyond its end; needed for a last unit that is short. */
function guardedRead(array: string, columns: number): string {
  if (columns % UNIT === 0) return '';
  return `fn ${array}_at(i: u32) -> vec4<f32> { if (i < ${columns / 4}u) { return ${array}[i]; } return vec4<f32>(); }`;
}

/** Declares v0…v3, the values of `unit`, times the norm's weight where there is one; `squares` grows by theirs. */
function readUnit(columns: number, norm: boolean): string {
  const tail = columns % UNIT;
  const read = (array: string, i: number) =>
    tail === 0 || i * 4 < tail ? `${array}[unit * 4u + ${i}u]` : `${array}_at(unit * 4u + ${i}u)`;
  const values = QUADS.map((i) => `${norm ? 'var' : 'let'} v${i} = ${read('x', i)};`).join(' ');
  if (!norm) return values;
  return `${values}
      squares += ${QUADS.map((i) => `dot(v${i}, v${i})`).join(' + ')};
      ${QUADS.map((i) => `v${i} *= ${read('norm_weight', i)};`).join(' ')}`;
}

/** The workgroup first rounds x to bytes, each unit once, then takes products from workgroup memory. */
function integerProducts(options: {
  readonly columns: number;
  readonly lanes: number;
  readonly first: number;
  readonly gateRow: number;
  readonly norm: boolean;
  readonly gated: boolean;
}): string {
  const { columns, lanes, first, gateRow, norm, gated } = options;
  return `for (var unit = lid; unit < UNITS; unit += THREADS) {
      ${readUnit(columns, norm)}
      let q = quantize(v0, v1, v2, v3);
      x_codes[unit] = q.codes;
      x_levels[unit] = q.level;
  }
  ${
    norm
      ? `partial_squares[lid] = squares;
  for (var step = THREADS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lid < step) { partial_squares[lid] += partial_squares[lid + step]; }
  }`
      : ''
  }
  workgroupBarrier();
  if (row0 < PART_ROWS) {
    for (var unit = lane; unit < UNITS; unit += ${lanes}u) {
      sums += integer_rows(${first}u + row0, unit, x_codes[unit], x_levels[unit]);
      ${gated ? `gate_sums += integer_rows(${gateRow}u + row0, unit, x_codes[unit], x_levels[unit]);` : ''}
    }
  }`;
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
