import { SpeedqError } from '@speedq/format';
import { spread } from '../../engine/grid.ts';
import type { Recorder, Value } from '../../engine/recorder.ts';
import { rowCount } from '../../engine/recorder.ts';
import { recordLinear } from '../linear/record.ts';
import type { Matrix } from '../linear/weight.ts';
import type { PatchOptions } from './program.ts';
import { PATCH_THREADS, assembleProgram, patchesProgram } from './program.ts';

export interface PatchWeights {
  /** [hidden, 3·patch²] */
  readonly weight: Matrix;
  /** [hidden] each. */
  readonly bias: GPUBuffer;
  readonly classToken: GPUBuffer;
  /** [1 + grid², hidden] */
  readonly position: GPUBuffer;
}

/** pixels [tiles, 3·S·S] → [tiles·(1 + grid²), hidden]. */
export function recordPatchEmbedding(
  recorder: Recorder,
  pixels: Value,
  weights: PatchWeights,
  options: PatchOptions,
): Value {
  const { tileSize, patchSize } = options;
  if (tileSize % patchSize !== 0) {
    throw new SpeedqError(
      'unsupported',
      `A tile must be a whole number of patches wide, got ${tileSize} pixels and patches of ${patchSize}.`,
    );
  }
  const grid = (tileSize / patchSize) ** 2;
  const patches = recorder.value('patches', { perCount: grid, fixed: 0 }, 3 * patchSize * patchSize);
  recorder.dispatch(patchesProgram(options), [recorder.params, pixels, patches], (count) =>
    spread(Math.ceil((rowCount(patches.rows, count) * patches.width) / PATCH_THREADS)),
  );
  const x = recordLinear(recorder, patches, weights.weight, { bias: weights.bias });
  const y = recorder.value('patch tokens', { perCount: grid + 1, fixed: 0 }, x.width);
  recorder.dispatch(
    assembleProgram({ patches: grid, width: x.width }),
    [recorder.params, x, weights.classToken, weights.position, y],
    (count) => spread(Math.ceil((rowCount(y.rows, count) * y.width) / PATCH_THREADS)),
  );
  return y;
}
