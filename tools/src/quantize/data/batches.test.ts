import { IGNORED } from '@speedq/onnx';
import { expect, test } from 'vitest';
import { groupSamples, orderBatches } from './batches.ts';
import { paddedLength } from './micro-batch.ts';
import type { Sample } from './samples.ts';

const sample = (length: number, tiles: number, answers = 2): Sample => ({
  ids: Array.from({ length }, (_, i) => i),
  labels: Array.from({ length }, (_, i) => (i >= length - answers - 1 && i < length - 1 ? i : IGNORED)),
  pictures: [],
  tiles,
});

test('like lengths share a bucket; what is too few for a batch joins the next', () => {
  const samples = [
    sample(20, 0),
    ...[40, 60, 50].map((length) => sample(length, 1)),
    sample(90, 1),
    sample(95, 1, 5),
  ];
  const buckets = groupSamples(samples, { batchSize: 2 });
  expect(buckets).toEqual([
    { samples: [0, 1, 2, 3], length: 64, tiles: 1, answers: 4 },
    { samples: [4, 5], length: 96, tiles: 1, answers: 7 },
  ]);
  expect([1, 32, 33, 128, 129, 1025].map(paddedLength)).toEqual([32, 32, 64, 128, 256, 1536]);
});

test('an epoch visits every conversation, and the same seed gives the same order', () => {
  const samples = Array.from({ length: 11 }, (_, i) => sample(20 + (i % 2) * 30, i % 2));
  const order = (seed: number) => {
    const batches = orderBatches(samples, { batchSize: 3, seed });
    return Array.from({ length: 2 * batches.perEpoch }, (_, step) => batches.at(step).samples);
  };
  const seen = order(4);
  expect(seen).toEqual(order(4));
  expect(seen).not.toEqual(order(5));
  const half = seen.length / 2;
  for (const epoch of [seen.slice(0, half), seen.slice(half)]) {
    expect(new Set(epoch.flat())).toEqual(new Set(samples.keys()));
  }
  expect(seen.slice(0, half)).not.toEqual(seen.slice(half));
  expect(seen.every(({ length }) => length === 3)).toBe(true);
});
