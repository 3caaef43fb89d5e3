import { describe, expect, it } from 'vitest';
import { checkSampling, sampleToken } from './sample.ts';

// Probabilities .1, .4, .2, .3 by construction.
const logits = Float32Array.from([0.1, 0.4, 0.2, 0.3], Math.log);

/** Share of each token over a fine grid of the unit interval: exact up to the grid's step. */
function shares(options: { temperature?: number; topK?: number; topP?: number }): number[] {
  const counts = [0, 0, 0, 0];
  const steps = 10_000;
  for (let i = 0; i < steps; i++) {
    counts[sampleToken(logits, { temperature: 1, ...options, random: () => (i + 0.5) / steps })]++;
  }
  return counts.map((count) => count / steps);
}

describe('sampleToken', () => {
  it.each([
    ['draws from the softmax', {}, [0.1, 0.4, 0.2, 0.3]],
    // Squared probabilities: .01, .16, .04, .09 over .3.
    ['temperature 0.5', { temperature: 0.5 }, [1 / 30, 16 / 30, 4 / 30, 9 / 30]],
    ['topK 2', { topK: 2 }, [0, 4 / 7, 0, 3 / 7]],
    ['topK 1', { topK: 1 }, [0, 1, 0, 0]],
    // .4 + .3 reach .65.
    ['topP 0.65', { topP: 0.65 }, [0, 4 / 7, 0, 3 / 7]],
    ['topP below the highest', { topP: 0.01 }, [0, 1, 0, 0]],
    ['topK, then topP of what it left', { topK: 3, topP: 0.5 }, [0, 4 / 7, 0, 3 / 7]],
  ])('%s', (_name, options, expected) => {
    for (const [i, share] of shares(options).entries()) expect(share).toBeCloseTo(expected[i], 3);
  });

  it('never leaves the vocabulary at the end of the interval', () => {
    expect(sampleToken(logits, { temperature: 1, random: () => 1 - 2 ** -53 })).toBe(0);
  });
});

describe('checkSampling', () => {
  it.each([
    [{ temperature: 0 }],
    [{ temperature: Number.NaN }],
    [{ temperature: 1, topK: 0 }],
    [{ temperature: 1, topK: 1.5 }],
    [{ temperature: 1, topP: 0 }],
    [{ temperature: 1, topP: 1.1 }],
  ])('refuses %j', (options) => {
    expect(() => checkSampling(options)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });

  it('accepts the ends of the ranges', () => {
    expect(() => checkSampling({ temperature: 0.01, topK: 1, topP: 1 })).not.toThrow();
  });
});
