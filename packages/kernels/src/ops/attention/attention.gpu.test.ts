import { describe, expect, it } from 'vitest';
import { ONE_ROW } from '../../engine/recorder.ts';
import { requestTestDevice } from '../../node.ts';
import { OpBench, PER_COUNT, maxDifference, randomFloats, sideBySide } from '../../testing/harness.ts';
import type { KeyValueFormat } from '../kv-cache/format.ts';
import { KEY_VALUE_FORMATS } from '../kv-cache/format.ts';
import { decodeCache, encodeCache } from '../kv-cache/reference.ts';
import { ropeReference } from '../rope-cache/reference.ts';
import { ropeTable } from '../rope-cache/table.ts';
import type { Heads } from './record.ts';
import { recordAttention, recordCausalAttention } from './record.ts';
import { attentionReference } from './reference.ts';
import { ATTENTION_VARIANTS, DECODE_VARIANTS } from './variants.ts';

const gpu = await requestTestDevice();
const THETA = 1e6;

/**
 * Of the newest keys and values, which the programs round themselves: angles are float32 (3e-5), a half has 11
 * bits, a code is one of 255. Those before are decoded exactly.
 */
const TOLERANCE: Record<KeyValueFormat, number> = { f32: 1e-4, f16: 2e-3, q8: 2e-2 };

/** New tokens after some past, on the GPU and in float64. */
async function causal(
  { heads, keyValueHeads, headDim }: Heads,
  { count, past, format = 'f32' }: { count: number; past: number; format?: KeyValueFormat },
  variants: Record<string, string> = {},
) {
  const shape = { heads, keyValueHeads, headDim };
  const [width, pitch] = [heads * headDim, keyValueHeads * headDim];
  const bench = new OpBench(gpu!.device, count, variants);
  const q = randomFloats(count * width, 1, 3);
  const k = randomFloats(count * pitch, 2, 3);
  const v = randomFloats(count * pitch, 3);
  // rows beyond the newest token hold what an earlier, longer conversation left
  const capacity = past + count + 50;
  const [oldKeys, oldValues] = [4, 5].map((seed) =>
    encodeCache(format, randomFloats(capacity * pitch, seed, 3), shape),
  );
  const cache = {
    format,
    keys: bench.buffer(oldKeys),
    values: bench.buffer(oldValues),
    ropeTable: bench.buffer(ropeTable(capacity, headDim, THETA)),
  };
  const rows = count === 1 ? ONE_ROW : PER_COUNT;
  const qkv = bench.input(sideBySide(count, [q, k, v]), width + 2 * pitch, rows);
  const y = recordCausalAttention(bench.recorder, qkv, cache, shape);
  const [actual, keys, values] = await bench.run([y, cache.keys, cache.values], { count, past });

  const rotate = (x: Float32Array, w: number) => Float32Array.from(ropeReference(x, headDim, w, past, THETA));
  const withNew = (words: Uint32Array, fresh: Float32Array) => {
    const all = decodeCache(format, words, shape).subarray(0, (past + count) * pitch);
    all.set(fresh, past * pitch);
    return all;
  };
  const rotatedKeys = rotate(k, pitch);
  const expected = attentionReference(
    rotate(q, width),
    withNew(oldKeys, rotatedKeys),
    withNew(oldValues, v),
    { ...shape, visible: (query) => past + query + 1 },
  );
  return {
    difference: maxDifference(actual, expected),
    written: { keys: new Uint32Array(keys.buffer), values: new Uint32Array(values.buffer) },
    before: { keys: oldKeys, values: oldValues },
    fresh: { keys: rotatedKeys, values: v },
  };
}

describe.skipIf(gpu === null)('attention', () => {
  describe.each(Object.keys(ATTENTION_VARIANTS))('of many queries, %s', (name) => {
    const variants = { attention: name };

    it.each([
      [1, 17, 4, 16],
      [3, 65, 2, 24],
      [2, 1, 1, 4],
      [1, 131, 1, 64],
      [1, 40, 2, 128],
    ])('bidirectional: %i tiles of %i tokens, %i heads of %i', async (tiles, tokens, heads, headDim) => {
      const width = heads * headDim;
      const bench = new OpBench(gpu!.device, tiles, variants);
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
      [5, 0, 4, 2, 16, 'f32'],
      [70, 33, 6, 1, 16, 'f16'],
      [2, 90, 7, 1, 64, 'q8'],
      [33, 64, 12, 2, 128, 'f16'],
    ] as const)(
      'causal: %i new tokens after %i, %i heads over %i of %i, cache of %s',
      async (count, past, heads, keyValueHeads, headDim, format) => {
        const { difference } = await causal(
          { heads, keyValueHeads, headDim },
          { count, past, format },
          variants,
        );
        expect(difference).toBeLessThan(TOLERANCE[format]);
      },
    );
  });

  describe.each(Object.keys(DECODE_VARIANTS))('of the newest token, %s', (name) => {
    it.each([
      [0, 4, 2, 16, 'f32'],
      [63, 7, 1, 64, 'f16'],
      [64, 12, 2, 128, 'q8'],
      [1000, 14, 2, 64, 'f32'],
      [300, 18, 2, 24, 'q8'],
      [5, 11, 1, 4, 'f16'],
    ] as const)(
      'after %i, %i heads over %i of %i, cache of %s',
      async (past, heads, keyValueHeads, headDim, format) => {
        const shape = { heads, keyValueHeads, headDim };
        const { difference } = await causal(shape, { count: 1, past, format }, { 'decode-attention': name });
        expect(difference).toBeLessThan(TOLERANCE[format]);
      },
    );
  });

  it('refuses head sizes it has no registers for', () => {
    const bench = new OpBench(gpu!.device, 1);
    const x = bench.input(randomFloats(256, 1), 256);
    expect(() => recordAttention(bench.recorder, x, { heads: 1, headDim: 256, tokens: 1 })).toThrowError(
      /at most 128/,
    );
  });
});

describe.skipIf(gpu === null)('the cache', () => {
  it.each(
    KEY_VALUE_FORMATS.flatMap((format) => [
      { format, count: 1, past: 70 },
      { format, count: 5, past: 123 },
    ]),
  )('of $format: $count tokens go to the rows after $past, others stay', async ({ format, count, past }) => {
    const shape = { heads: 6, keyValueHeads: 2, headDim: 12 };
    const pitch = 2 * 12;
    const words = encodeCache(format, new Float32Array(pitch), shape).length;
    const { written, before, fresh } = await causal(shape, { count, past, format });
    for (const part of ['keys', 'values'] as const) {
      expect(written[part].subarray(0, past * words)).toEqual(before[part].subarray(0, past * words));
      const end = (past + count) * words;
      expect(written[part].subarray(end)).toEqual(before[part].subarray(end));
      const decoded = decodeCache(format, written[part].slice(past * words, end), shape);
      // values are below 3 (rotated keys below 4.3): rounded to 11 bits, or to 1/254 of that
      const rounding = { f32: 1e-4, f16: 4.3 / 2 ** 11, q8: 4.3 / 254 + 1e-4 }[format];
      expect(maxDifference(decoded, fresh[part])).toBeLessThan(rounding);
    }
  });
});
