import { IGNORED } from '@speedq/onnx';
import { expect, test } from 'vitest';
import { createRandom } from '../../data/random.ts';
import { orderBatches } from './batches.ts';
import { packConversations } from './packing.ts';
import type { Sample } from './samples.ts';

const sample = (length: number, tiles = 0, answers = 2): Sample => ({
  ids: Array.from({ length }, (_, i) => i),
  labels: Array.from({ length }, (_, i) => (i >= length - answers ? i : IGNORED)),
  pictures: [],
  tiles,
});

test('the longest go first, each into the first sequence with room; one that is too long is alone', () => {
  const samples = [30, 90, 40, 130, 10, 25].map((length, i) => sample(length, i, i));
  expect(packConversations(samples, [0, 1, 2, 3, 4, 5], 100, {})).toEqual([
    { sequences: [[3]], length: 256, tiles: 3, answers: 3 },
    { sequences: [[1, 4]], length: 100, tiles: 5, answers: 5 },
    // 7 tiles and rows of 5 + 2 + 0 conversations.
    { sequences: [[2, 0, 5]], length: 100, tiles: 7, answers: 7 },
  ]);
});

test('what is left over has shorter sequences, and counts are rounded up by less than a quarter', () => {
  const [quarter] = packConversations([sample(40, 0, 33)], [0], 256, {});
  expect(quarter).toMatchObject({ length: 64, tiles: 0, answers: 40 });
  const [half] = packConversations([sample(100, 9, 100)], [0], 256, {});
  // The first token of a conversation has nothing in front of it that could predict it.
  expect(half).toMatchObject({ length: 128, tiles: 10, answers: 112 });
});

test('an epoch packs every conversation, and the seed alone decides how', () => {
  const random = createRandom(8);
  const samples = Array.from({ length: 150 }, () => sample(5 + random.int(95), random.int(3)));
  const [limit, batchSize] = [128, 64];
  const epochs = (seed: number) => {
    const order = orderBatches(samples, { batchSize, packing: limit, seed });
    expect(order.perEpoch).toBe(3);
    return Array.from({ length: 6 }, (_, step) => order.at(step));
  };
  const seen = epochs(1);
  expect(seen).toEqual(epochs(1));
  expect(seen).not.toEqual(epochs(2));
  expect(seen.slice(0, 3)).not.toEqual(seen.slice(3));
  for (const half of [seen.slice(0, 3), seen.slice(3)]) {
    expect(new Set(half.flatMap(({ samples: chosen }) => chosen))).toEqual(new Set(samples.keys()));
  }
  for (const { samples: chosen, microBatches } of seen) {
    expect(chosen).toHaveLength(batchSize);
    const packed = microBatches.flatMap(({ sequences }) => sequences.flat());
    expect(packed.toSorted((a, b) => a - b)).toEqual(chosen.toSorted((a, b) => a - b));
    let [used, computed] = [0, 0];
    for (const { sequences, length, tiles } of microBatches) {
      const tokens = sequences.flat().reduce((sum, index) => sum + samples[index].ids.length, 0);
      expect(tokens).toBeLessThanOrEqual(length);
      expect(length).toBeLessThanOrEqual(limit);
      expect(sequences.flat().reduce((sum, index) => sum + samples[index].tiles, 0)).toBeLessThanOrEqual(
        tiles,
      );
      used += tokens;
      computed += length;
    }
    expect(used / computed).toBeGreaterThan(0.9);
  }
});
