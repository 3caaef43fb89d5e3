import { describe, expect, it } from 'vitest';
import { requestTestDevice } from '../../node.ts';
import { OpBench, maxDifference, randomFloats, sideBySide } from '../../testing/harness.ts';
import { recordRope } from './record.ts';
import { ropeReference } from './reference.ts';
import { ropeTable } from './table.ts';

const gpu = await requestTestDevice();

describe.skipIf(gpu === null)('rope and cache write', () => {
  it.each([
    [1, 0, 4, 2, 16],
    [5, 123, 7, 1, 16],
    [3, 1000, 2, 2, 12],
  ])('%i tokens after %i, %i heads over %i of %i', async (count, past, heads, keyValueHeads, headDim) => {
    const [width, pitch] = [heads * headDim, keyValueHeads * headDim];
    const [q, k, v] = [width, pitch, pitch].map((w, seed) => randomFloats(count * w, seed + past));
    const bench = new OpBench(gpu!.device, 8);
    const capacity = past + count + 1;
    const old = randomFloats(capacity * pitch, 9);
    const cache = {
      format: 'f32' as const,
      keys: bench.buffer(old),
      values: bench.buffer(old),
      ropeTable: bench.buffer(ropeTable(capacity, headDim, 1e6)),
    };
    const rotated = recordRope(
      bench.recorder,
      bench.input(sideBySide(count, [q, k, v]), width + 2 * pitch),
      cache,
      { heads, keyValueHeads, headDim },
    );
    const [actual, keys, values] = await bench.run([rotated, cache.keys, cache.values], { count, past });
    // angles are rounded to float32 as in PyTorch: 3e-5 at position 1,000
    expect(maxDifference(actual, ropeReference(q, headDim, width, past, 1e6))).toBeLessThan(1e-4);
    const written = (data: Float32Array) => data.subarray(past * pitch, (past + count) * pitch);
    expect(maxDifference(written(keys), ropeReference(k, headDim, pitch, past, 1e6))).toBeLessThan(1e-4);
    expect(maxDifference(written(values), v)).toBe(0);
    for (const data of [keys, values]) {
      expect(data.subarray(0, past * pitch)).toEqual(old.subarray(0, past * pitch));
      expect(data.subarray((past + count) * pitch)).toEqual(old.subarray((past + count) * pitch));
    }
  });
});
