import { describe, expect, it } from 'vitest';
import { ONE_ROW } from '../../engine/recorder.ts';
import { requestTestDevice } from '../../node.ts';
import { OpBench, maxDifference, randomFloats, sideBySide } from '../../testing/harness.ts';
import { recordAttention, recordCausalAttention } from './record.ts';
import { attentionReference } from './reference.ts';

const gpu = await requestTestDevice();

describe.skipIf(gpu === null)('attention', () => {
  it.each([
    [1, 17, 4, 16],
    [3, 65, 2, 24],
    [2, 1, 1, 4],
    [1, 1025, 1, 64],
    [1, 40, 2, 128],
  ])('bidirectional: %i tiles of %i tokens, %i heads of %i', async (tiles, tokens, heads, headDim) => {
    const width = heads * headDim;
    const bench = new OpBench(gpu!.device, tiles);
    const [q, k, v] = [1, 2, 3].map((seed) => randomFloats(tiles * tokens * width, seed + tokens, 3));
    const rows = { perCount: tokens, fixed: 0 };
    const qkv = bench.input(sideBySide(tiles * tokens, [q, k, v]), 3 * width, rows);
    const y = recordAttention(bench.recorder, qkv, { heads, headDim, tokens });
    const [actual] = await bench.run([y], { count: tiles });
    for (let tile = 0; tile < tiles; tile++) {
      const cut = (data: Float32Array) => data.subarray(tile * tokens * width, (tile + 1) * tokens * width);
      const expected = attentionReference(cut(q), cut(k), cut(v), {
        heads,
        keyValueHeads: heads,
        headDim,
        visible: () => tokens,
      });
      expect(maxDifference(cut(actual), expected)).toBeLessThan(3e-5);
    }
  });

  it.each([
    [5, 0, 4, 2, 16],
    [70, 33, 6, 1, 16],
    [2, 200, 7, 1, 16],
    [3, 64, 4, 2, 128],
  ])(
    'causal: %i new tokens after %i, %i heads over %i of %i',
    async (count, past, heads, keyValueHeads, headDim) => {
      const bench = new OpBench(gpu!.device, count);
      const q = randomFloats(count * heads * headDim, 1, 3);
      const k = randomFloats((past + count) * keyValueHeads * headDim, 2, 3);
      const v = randomFloats((past + count) * keyValueHeads * headDim, 3);
      const cache = { keys: bench.buffer(k), values: bench.buffer(v) };
      const shape = { heads, keyValueHeads, headDim };
      const y = recordCausalAttention(bench.recorder, bench.input(q, heads * headDim), cache, shape);
      const [actual] = await bench.run([y], { count, past });
      const expected = attentionReference(q, k, v, { ...shape, visible: (query) => past + query + 1 });
      expect(maxDifference(actual, expected)).toBeLessThan(3e-5);
    },
  );

  it.each([
    [0, 4, 2, 16],
    [127, 7, 1, 16],
    [128, 2, 1, 128],
    [300, 6, 2, 24],
  ])('decode: the token after %i, %i heads over %i of %i', async (past, heads, keyValueHeads, headDim) => {
    const bench = new OpBench(gpu!.device, 1);
    const q = randomFloats(heads * headDim, 1, 3);
    // rows beyond the newest token hold what an earlier, longer conversation left
    const rows = past + 1 + 50;
    const k = randomFloats(rows * keyValueHeads * headDim, 2, 3);
    const v = randomFloats(rows * keyValueHeads * headDim, 3);
    const cache = { keys: bench.buffer(k), values: bench.buffer(v) };
    const shape = { heads, keyValueHeads, headDim };
    const y = recordCausalAttention(bench.recorder, bench.input(q, heads * headDim, ONE_ROW), cache, shape);
    const [actual] = await bench.run([y], { count: 1, past });
    const expected = attentionReference(q, k, v, { ...shape, visible: () => past + 1 });
    expect(maxDifference(actual, expected)).toBeLessThan(3e-5);
  });

  it('refuses head sizes it has no registers for', () => {
    const bench = new OpBench(gpu!.device, 1);
    const x = bench.input(randomFloats(256, 1), 256);
    expect(() => recordAttention(bench.recorder, x, { heads: 1, headDim: 256, tokens: 1 })).toThrowError(
      /at most 128/,
    );
  });
});
