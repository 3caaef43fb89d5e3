import { SpeedqError } from '@speedq/format';
import { spread } from '../../engine/grid.ts';
import type { Recorder, Value } from '../../engine/recorder.ts';
import { rowCount } from '../../engine/recorder.ts';
import { UNSHUFFLE_THREADS, unshuffleProgram } from './program.ts';

/** x [tiles·(1 + grid²), C] → [tiles·(grid/2)², 4C]. */
export function recordUnshuffle(recorder: Recorder, x: Value, grid: number): Value {
  if (grid % 2 !== 0 || x.width % 4 !== 0) {
    throw new SpeedqError(
      'unsupported',
      `Pixel unshuffle needs an even grid and features in multiples of 4, got a grid of ${grid} and ${x.width} features.`,
    );
  }
  const tokens = (grid * grid) / 4;
  const y = recorder.value('unshuffled', { perCount: tokens, fixed: 0 }, x.width * 4);
  recorder.dispatch(unshuffleProgram({ grid, width: x.width }), [recorder.params, x, y], (count) =>
    spread(Math.ceil((rowCount(y.rows, count) * x.width) / UNSHUFFLE_THREADS)),
  );
  return y;
}
