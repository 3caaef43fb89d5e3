import { spread } from '../../engine/grid.ts';
import type { Recorder, Value } from '../../engine/recorder.ts';
import { rowCount } from '../../engine/recorder.ts';
import { normProgram } from './program.ts';

export interface NormWeights {
  readonly kind: 'layer' | 'rms';
  readonly epsilon: number;
  /** [width] */
  readonly weight: GPUBuffer;
  /** [width] */
  readonly bias?: GPUBuffer;
}

/** x [rows, width] → the norm of each row. */
export function recordNorm(
  recorder: Recorder,
  x: Value,
  { kind, epsilon, weight, bias }: NormWeights,
): Value {
  const { rows, width } = x;
  const y = recorder.value(`${x.label} normed`, rows, width);
  const options = { kind, rows, width, epsilon, bias: bias !== undefined };
  recorder.dispatch(normProgram(options), [recorder.params, x, weight, bias, y], (count) =>
    spread(rowCount(rows, count)),
  );
  return y;
}
