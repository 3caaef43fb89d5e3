import type { Recorder, Value } from '../../engine/recorder.ts';
import { ONE_ROW, rowCount } from '../../engine/recorder.ts';
import { LAST_ROW_THREADS, lastRowProgram } from './program.ts';

/** The last row of x [count, width]; x itself where a run has one row anyway. */
export function recordLastRow(recorder: Recorder, x: Value): Value {
  if (rowCount(x.rows, recorder.maxCount) === 1) return x;
  const y = recorder.value('last row', ONE_ROW, x.width);
  recorder.dispatch(
    lastRowProgram(x.width),
    [recorder.params, x, y],
    () => [Math.ceil(x.width / LAST_ROW_THREADS), 1, 1],
    { what: 'last row', of: () => ({ bytes: 2 * x.width * 4, operations: 0 }) },
  );
  return y;
}
