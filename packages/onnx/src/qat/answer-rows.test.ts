import { describe, expect, it } from 'vitest';
import { MASKED } from '../rotary.ts';
import { answerRows } from './answer-rows.ts';
import { chunkRows, padded } from './chunks.ts';
import { attentionMask } from './language-inputs.ts';

const N = -100;

describe('answerRows', () => {
  // Two sequences of four tokens; the answers are tokens 2 and 3 of the first, 0 and 1 of the second.
  const labels = [N, N, 8, 9, 4, 5, N, N];

  it('selects the rows that predict answer tokens', () => {
    const rows = answerRows(labels, { batch: 2, length: 4, answers: 5 });
    // The first token of a sequence has no row before it that could predict it.
    expect(Array.from(rows.selected, Number)).toEqual([1, 2, 4, 0, 0]);
    expect(Array.from(rows.targets, Number)).toEqual([8, 9, 5, 0, 0]);
    expect(Array.from(rows.weights)).toEqual([1, 1, 1, 0, 0].map((used) => Math.fround(used / 3)));
    expect(rows.kdWeights).toEqual(rows.weights);
    expect(rows.count).toBe(3);
  });

  it('distils at answer tokens, summed over tokens and averaged over sequences, as the reference does', () => {
    const rows = answerRows(labels, { batch: 2, length: 4, reference: true });
    expect(Array.from(rows.selected, Number)).toEqual([1, 2, 3, 4, 5]);
    expect(Array.from(rows.weights)).toEqual([1, 1, 0, 1, 0].map((used) => Math.fround(used / 3)));
    expect(Array.from(rows.kdWeights)).toEqual([0, 0.5, 0.5, 0.5, 0.5]);
  });

  it('says when there are too many', () => {
    expect(() => answerRows(labels, { batch: 2, length: 4, answers: 2 })).toThrowError(/3 supervised tokens/);
  });
});

it('attentionMask shows a token its segment and the shared one, and padding itself alone', () => {
  const seen = Array.from(attentionMask([0, 1, 2, 1, -1], 1, 5), (value) =>
    value === 0 ? 1 : value === Math.fround(MASKED) ? 0 : NaN,
  );
  expect(seen).toEqual([
    ...[1, 0, 0, 0, 0],
    ...[1, 1, 0, 0, 0],
    ...[1, 0, 1, 0, 0],
    ...[1, 1, 0, 1, 0],
    ...[0, 0, 0, 0, 1],
  ]);
});

describe('chunks', () => {
  it('are equal and hold at most 64 MiB of logits', () => {
    expect(chunkRows(1000, 151_674)).toBe(100);
    expect(chunkRows(111, 151_674)).toBe(56);
    expect(chunkRows(30, 1536)).toBe(30);
    expect(chunkRows(20, 50, 7)).toBe(7);
    expect(chunkRows(3, 2 ** 26)).toBe(1);
  });

  it('end in zeros', () => {
    expect(padded(Float32Array.of(1, 2, 3), 2, 2)).toEqual(Float32Array.of(3, 0));
    expect(padded(BigInt64Array.of(1n, 2n, 3n), 1, 2)).toEqual(BigInt64Array.of(2n, 3n));
  });
});
