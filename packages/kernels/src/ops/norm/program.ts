import { SPREAD_BUILTINS, SPREAD_INDEX } from '../../engine/grid.ts';
import type { Program } from '../../engine/program.ts';
import { float, floats, params, program } from '../../engine/program.ts';
import type { Rows } from '../../engine/recorder.ts';
import { rowsExpression } from '../../engine/recorder.ts';

export interface NormOptions {
  readonly kind: 'layer' | 'rms';
  readonly rows: Rows;
  readonly width: number;
  readonly epsilon: number;
  readonly bias: boolean;
}

/** Few threads for short rows: adding up what they found costs more than the row. */
function threadsOf(width: number): number {
  return width <= 512 ? 32 : width <= 2048 ? 64 : 128;
}

/**
 * One workgroup per row. The variance of a layer norm is summed from differences to the mean, in a second
 * pass over the row: E[x²] - μ² cancels in f32.
 */
export function normProgram({ kind, rows, width, epsilon, bias }: NormOptions): Program {
  const mean =
    kind === 'layer'
      ? `var total = 0.0f;
  for (var i = lid; i < WIDTH; i += THREADS) { total += x[base + i]; }
  let mean = sum_all(lid, total) / f32(WIDTH);`
      : 'let mean = 0.0f;';
  return program(
    `${kind}-norm`,
    {
      params,
      x: floats('read'),
      weight: floats('read'),
      bias: bias ? floats('read') : undefined,
      y: floats('write'),
    },
    `
const THREADS = ${threadsOf(width)}u;
const WIDTH = ${width}u;
var<workgroup> partial: array<f32, THREADS>;

fn sum_all(lid: u32, value: f32) -> f32 {
  workgroupBarrier();
  partial[lid] = value;
  workgroupBarrier();
  var total = 0.0f;
  for (var i = 0u; i < THREADS; i++) { total += partial[i]; }
  return total;
}

@compute @workgroup_size(THREADS)
fn main(${SPREAD_BUILTINS}) {
  let row = ${SPREAD_INDEX};
  if (row >= ${rowsExpression(rows)}) { return; }
  let base = row * WIDTH;
  ${mean}
  var squares = 0.0f;
  for (var i = lid; i < WIDTH; i += THREADS) {
    let d = x[base + i] - mean;
    squares += d * d;
  }
  let factor = 1.0f / sqrt(sum_all(lid, squares) / f32(WIDTH) + ${float(epsilon)});
  for (var i = lid; i < WIDTH; i += THREADS) {
    y[base + i] = (x[base + i] - mean) * factor * weight[i]${bias ? ' + bias[i]' : ''};
  }
}`,
  );
}
