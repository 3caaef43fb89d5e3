import { SpeedqError } from '@speedq/format';

/** Which feature row each token takes, and whether it takes one. */
export function placeFeatures(ids: ArrayLike<number>, imageTokenId: number, available: number) {
  const index = new BigInt64Array(ids.length);
  const mask = new Float32Array(ids.length);
  let count = 0;
  for (let t = 0; t < ids.length; t++) {
    if (ids[t] !== imageTokenId) continue;
    index[t] = BigInt(count++);
    mask[t] = 1;
  }
  if (count !== available) {
    throw new SpeedqError(
      'invalid-data',
      `The prompt has ${count} image tokens but the pictures give ${available} features. ` +
        'Expand each picture to tiles × tokens per tile placeholders.',
    );
  }
  return { index, mask, count };
}
