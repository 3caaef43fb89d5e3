import { spread } from '../../engine/grid.ts';
import type { Recorder, Value } from '../../engine/recorder.ts';
import { imageMergeProgram } from './program.ts';

/** Writes into `embeddings` [count, width] itself; `features` holds the rows of this run's image tokens. */
export function recordImageMerge(
  recorder: Recorder,
  embeddings: Value,
  ids: Value,
  features: Value,
  imageTokenId: number,
): Value {
  const program = imageMergeProgram({ width: embeddings.width, imageTokenId });
  recorder.dispatch(program, [recorder.params, ids, features, embeddings], (count) => spread(count));
  return embeddings;
}
