import { SpeedqError } from '@speedq/format';
import { spread } from '../../engine/grid.ts';
import type { Recorder, Value } from '../../engine/recorder.ts';
import { ONE_ROW, rowCount } from '../../engine/recorder.ts';
import type { Candidates } from '../argmax/record.ts';
import { TILE_FEATURES, TILE_ROWS, matmulProgram } from './matmul.ts';
import { matvecProgram, matvecRows } from './matvec.ts';
import type { MatvecOptions } from './options.ts';
import type { Matrix, MatrixPart } from './weight.ts';

export interface LinearInputs {
  /** [features] each. */
  readonly bias?: GPUBuffer;
  readonly scale?: GPUBuffer;
  readonly activation?: 'gelu';
  /** [rows, features] each. */
  readonly gate?: Value;
  /** The result is added to it and takes its place: one activation less to hold. */
  readonly residual?: Value;
  /** For a single row: x/√(mean(x²)+epsilon)·weight takes the place of x; weight [columns]. */
  readonly norm?: { readonly epsilon: number; readonly weight: GPUBuffer };
}

/** Whether the value has one row in every run, which is when the matrix-vector program takes it. */
export function isSingleRow(recorder: Recorder, { rows }: Value): boolean {
  return rowCount(rows, recorder.maxCount) === 1;
}

/**
 * x [rows, columns] → [rows, features]: ((x·Wᵀ + bias) → activation) ⊙ scale · silu(gate) + residual.
 * Several matrices give their features side by side. A single row takes the matrix-vector program. Each part of
 * a split matrix fills its own features.
 */
export function recordLinear(
  recorder: Recorder,
  x: Value,
  matrix: Matrix | readonly Matrix[],
  inputs: LinearInputs = {},
): Value {
  return recordParts(recorder, x, partsOf('name' in matrix ? [matrix] : matrix), inputs);
}

/** Logits of a single row [1, features], and the candidates among which the largest is. */
export function recordHead(
  recorder: Recorder,
  x: Value,
  matrix: Matrix,
  inputs: LinearInputs,
): { readonly logits: Value; readonly candidates: Candidates } {
  const parts = partsOf([matrix]);
  const groups = parts.reduce((sum, part) => sum + groupsOf(part), 0);
  const candidates = {
    values: recorder.value('best logits', ONE_ROW, groups),
    indices: recorder.value('ids of best logits', ONE_ROW, groups),
  };
  return { logits: recordParts(recorder, x, parts, inputs, candidates), candidates };
}

/**
 * silu(x · Gᵀ) ⊙ (x · Uᵀ), `joined` holding the rows of G, then those of U: one dispatch for a single row, two
 * for many. With `norm`, which takes a single row, x is normed first.
 */
export function recordGated(
  recorder: Recorder,
  x: Value,
  joined: Matrix,
  { norm }: Pick<LinearInputs, 'norm'> = {},
): Value {
  const half = joined.rows / 2;
  const halfFrom = (first: number): Part[] => {
    const [part] = joined.parts;
    return [{ matrix: joined, part, offset: 0, rows: half, first }];
  };
  if (isSingleRow(recorder, x)) return recordParts(recorder, x, halfFrom(half), { norm }, undefined, true);
  const gate = recordParts(recorder, x, halfFrom(0), {});
  return recordParts(recorder, x, halfFrom(half), { gate });
}

interface Part {
  readonly matrix: Matrix;
  readonly part: MatrixPart;
  /** First feature of y, number of features, first row in the part's buffers. */
  readonly offset: number;
  readonly rows: number;
  readonly first: number;
}

function partsOf(matrices: readonly Matrix[]): Part[] {
  const parts: Part[] = [];
  let offset = 0;
  for (const matrix of matrices) {
    for (const part of matrix.parts) {
      parts.push({ matrix, part, offset: offset + part.rowOffset, rows: part.rows, first: 0 });
    }
    offset += matrix.rows;
  }
  return parts;
}

function groupsOf({ matrix, rows }: Part): number {
  return Math.ceil(rows / matvecRows(matrix.columns));
}

function recordParts(
  recorder: Recorder,
  x: Value,
  parts: readonly Part[],
  inputs: LinearInputs,
  candidates?: Candidates,
  gated = false,
): Value {
  const { bias, scale, gate, residual, activation, norm } = inputs;
  const { rows } = x;
  const features = parts.reduce((sum, part) => sum + part.rows, 0);
  const y = residual ?? recorder.value(parts[0].matrix.name, rows, features);
  const single = isSingleRow(recorder, x);
  let group = 0;
  for (const part of parts) {
    const { matrix, offset, first } = part;
    const { columns } = matrix;
    if (x.width !== columns) {
      throw new SpeedqError(
        'shape-mismatch',
        `${matrix.name} takes ${columns} features, the configuration gives it ${x.width}. Check config.json against the weights.`,
      );
    }
    const options: MatvecOptions = {
      scheme: matrix.scheme,
      rows,
      columns,
      features,
      part: { offset, rows: part.rows, first, bufferRows: part.part.rows },
      epilogue: {
        bias: bias !== undefined,
        activation: activation ?? 'none',
        scale: scale !== undefined,
        gate: gate !== undefined,
        residual: residual !== undefined,
      },
      norm,
      gated,
      candidates: candidates && { offset: group },
    };
    const { codes, meta } = part.part;
    const weights = [codes, meta];
    const rest = [bias, scale, gate, y, candidates?.values, candidates?.indices];
    recorder.dispatch(
      (single ? matvecProgram : matmulProgram)(options),
      [recorder.params, x, norm?.weight, ...weights, ...rest],
      (count) =>
        single
          ? spread(groupsOf(part))
          : [Math.ceil(part.rows / TILE_FEATURES), Math.ceil(rowCount(rows, count) / TILE_ROWS), 1],
    );
    group += groupsOf(part);
  }
  return y;
}
