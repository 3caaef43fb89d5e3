import { SpeedqError } from '@speedq/format';
import { spread } from '../../engine/grid.ts';
import type { Recorder, Value } from '../../engine/recorder.ts';
import { rowCount } from '../../engine/recorder.ts';
import { TILE_FEATURES, TILE_ROWS, matmulProgram } from './matmul.ts';
import { matvecProgram, matvecRows } from './matvec.ts';
import type { Matrix } from './weight.ts';

export interface LinearInputs {
  /** [features] each. */
  readonly bias?: GPUBuffer;
  readonly scale?: GPUBuffer;
  readonly activation?: 'gelu';
  /** [rows, features] each. */
  readonly gate?: Value;
  readonly residual?: Value;
}

/**
 * x [rows, columns] → [rows, features]: ((x·Wᵀ + bias) → activation) ⊙ scale · silu(gate) + residual.
 * A single row takes the matrix-vector program. Each part of a split matrix fills its own features.
 */
export function recordLinear(recorder: Recorder, x: Value, matrix: Matrix, inputs: LinearInputs = {}): Value {
  const { bias, scale, gate, residual, activation } = inputs;
  const { rows } = x;
  const { columns, rows: features } = matrix;
  if (x.width !== columns) {
    throw new SpeedqError(
      'shape-mismatch',
      `${matrix.name} takes ${columns} features, the configuration gives it ${x.width}. Check config.json against the weights.`,
    );
  }
  const y = recorder.value(matrix.name, rows, features);
  const single = rowCount(rows, recorder.maxCount) === 1;
  for (const { rowOffset, rows: partRows, codes, meta } of matrix.parts) {
    const program = (single ? matvecProgram : matmulProgram)({
      scheme: matrix.scheme,
      rows,
      columns,
      features,
      part: { offset: rowOffset, rows: partRows },
      epilogue: {
        bias: bias !== undefined,
        activation: activation ?? 'none',
        scale: scale !== undefined,
        gate: gate !== undefined,
        residual: residual !== undefined,
      },
    });
    const resources = [recorder.params, x, codes, meta, bias, scale, gate, residual, y];
    recorder.dispatch(program, resources, (count) =>
      single
        ? spread(Math.ceil(partRows / matvecRows(columns)))
        : [Math.ceil(partRows / TILE_FEATURES), Math.ceil(rowCount(rows, count) / TILE_ROWS), 1],
    );
  }
  return y;
}
