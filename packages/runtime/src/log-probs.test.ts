import { expect, it } from 'vitest';
import { tokenLogProbs } from './log-probs.ts';

it('gives the log-softmax, most probable first, the lower id among equals', () => {
  // Probabilities 1/8, 1/2, 1/8, 1/4, shifted by a constant that a softmax does not see.
  const logits = Float32Array.from([1, 4, 1, 2], (odds) => Math.log(odds) + 80);
  const { id, logProb, top } = tokenLogProbs(logits, 0, 3);
  expect(id).toBe(0);
  expect(logProb).toBeCloseTo(Math.log(1 / 8), 5);
  expect(top.map((token) => token.id)).toEqual([1, 3, 0]);
  [1 / 2, 1 / 4, 1 / 8].forEach((p, i) => expect(top[i].logProb).toBeCloseTo(Math.log(p), 5));
  expect(tokenLogProbs(logits, 2, 0).top).toEqual([]);
  expect(tokenLogProbs(logits, 2, 9).top).toHaveLength(4);
});
