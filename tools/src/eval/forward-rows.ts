import type { ImageFeaturesHandle } from '@speedq/runtime';
import type { Engine } from './engine.ts';

/** `Engine.forward` of engines that keep one row of logits: the rows after the first cost a step each. */
export async function forwardRows(
  engine: Engine,
  ids: Uint32Array,
  images: readonly ImageFeaturesHandle[],
  rows: number,
): Promise<Float32Array> {
  const { vocabSize } = engine;
  const logits = new Float32Array(rows * vocabSize);
  const first = ids.length - rows + 1;
  await engine.prefill(ids.subarray(0, first), images);
  logits.set(await engine.readLogits());
  for (let row = 1; row < rows; row++) {
    await engine.prefill(ids.subarray(first + row - 1, first + row), []);
    logits.set(await engine.readLogits(), row * vocabSize);
  }
  return logits;
}
