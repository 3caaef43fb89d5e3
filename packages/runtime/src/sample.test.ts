import { describe, expect, it } from 'vitest';
import { seededRandom } from './random.ts';
import { checkSampling, penalizeRepetition, sampleToken } from './sample.ts';
import type { Sampling } from './sample.ts';

// Probabilities .1, .4, .2, .3 by construction.
const logits = Float32Array.from([0.1, 0.4, 0.2, 0.3], Math.log);

/** Share of each token over a fine grid of the unit interval: exact up to the grid's step. */
function shares(values: Float32Array, options: Partial<Sampling>): number[] {
  const counts = Array.from(values, () => 0);
  const steps = 10_000;
  for (let i = 0; i < steps; i++) {
    counts[sampleToken(values, { temperature: 1, ...options, random: () => (i + 0.5) / steps })]++;
  }
  return counts.map((count) => count / steps);
}

describe('sampleToken', () => {
  it.each([
    ['draws from the softmax', {}, [0.1, 0.4, 0.2, 0.3]],
    ['temperature 0 takes the highest', { temperature: 0 }, [0, 1, 0, 0]],
    // Squared probabilities: .01, .16, .04, .09 over .3.
    ['temperature 0.5', { temperature: 0.5 }, [1 / 30, 16 / 30, 4 / 30, 9 / 30]],
    ['topK 2', { topK: 2 }, [0, 4 / 7, 0, 3 / 7]],
    ['topK 1', { topK: 1 }, [0, 1, 0, 0]],
    // .4 + .3 reach .65.
    ['topP 0.65', { topP: 0.65 }, [0, 4 / 7, 0, 3 / 7]],
    ['topP below the highest', { topP: 0.01 }, [0, 1, 0, 0]],
    ['topK, then topP of what it left', { topK: 3, topP: 0.5 }, [0, 4 / 7, 0, 3 / 7]],
    // .2 is half of .4, .1 a quarter.
    ['minP 0.45', { minP: 0.45 }, [0, 4 / 9, 2 / 9, 3 / 9]],
    ['minP 1', { minP: 1 }, [0, 1, 0, 0]],
    // At temperature 0.5 the ratios are squared: .09/.16 = .5625, .04/.16 = .25.
    ['minP after temperature', { temperature: 0.5, minP: 0.3 }, [0, 16 / 25, 0, 9 / 25]],
    ['topP, then minP', { topP: 0.85, minP: 0.6 }, [0, 4 / 7, 0, 3 / 7]],
  ])('%s', (_name, options, expected) => {
    for (const [i, share] of shares(logits, options).entries()) expect(share).toBeCloseTo(expected[i], 3);
  });

  it('keeps what a full sort keeps, in a vocabulary of which it sorts only the best', () => {
    const random = seededRandom(3);
    for (const [spread, options] of [
      [4, { topP: 0.9 }],
      [60, { topP: 0.999, temperature: 1.7 }],
      [0.01, { topP: 0.5 }],
      [30, { topK: 700 }],
      [300, { topK: 1900, topP: 0.99999 }],
      [9, { topK: 50, topP: 0.8, minP: 0.02, temperature: 2 }],
    ] as const) {
      const values = Float32Array.from({ length: 2000 }, () => spread * random());
      const { temperature = 1, topK = 2000, topP = 1, minP = 0 } = options as Partial<Sampling>;
      // The definition, step by step in float64.
      let kept = Array.from(values.keys()).sort((a, b) => values[b] - values[a] || a - b);
      kept = kept.slice(0, topK);
      const weights = kept.map((id) => Math.exp((values[id] - values[kept[0]]) / temperature));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      let mass = 0;
      kept = kept.filter((_, i) => {
        const isBefore = mass < topP * total;
        mass += weights[i];
        return isBefore && weights[i] >= minP;
      });
      const keptTotal = kept.reduce((sum, _, i) => sum + weights[i], 0);
      for (let i = 0; i < 40; i++) {
        const draw = random();
        let left = draw * keptTotal;
        const expected = kept[weights.findIndex((weight) => (left -= weight) < 0)];
        expect(sampleToken(values, { temperature: 1, ...options, random: () => draw })).toBe(expected);
      }
    }
  });

  it('never leaves the vocabulary at the end of the interval', () => {
    expect(sampleToken(logits, { temperature: 1, random: () => 1 - 2 ** -53 })).toBe(3);
    expect(sampleToken(logits, { temperature: 1, topP: 0.99, random: () => 1 - 2 ** -53 })).toBe(0);
  });

  it('never draws what a constraint has excluded', () => {
    const masked = Float32Array.from([-Infinity, 1, -Infinity, 2]);
    for (const options of [{}, { topK: 3 }, { topP: 0.999 }, { temperature: 50 }]) {
      const [a, b, c, d] = shares(masked, options);
      expect([a, c]).toEqual([0, 0]);
      expect(b + d).toBe(1);
    }
  });
});

describe('penalizeRepetition', () => {
  // transformers' RepetitionPenaltyLogitsProcessor: positive scores divided, negative ones multiplied.
  it('divides positive logits and multiplies negative ones, once for each id', () => {
    const scores = Float32Array.from([2, -2, 3, 0, 5]);
    penalizeRepetition(scores, new Set([0, 1, 3]), 1.25);
    expect([...scores]).toEqual([Math.fround(1.6), -2.5, 3, 0, 5]);
  });
});

describe('seededRandom', () => {
  it('repeats itself, differs between seeds, and is uniform', () => {
    const draw = (seed: number) => Array.from({ length: 4000 }, seededRandom(seed));
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    const values = draw(7);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
    for (let tenth = 0; tenth < 10; tenth++) {
      // 400 expected, deviation 19.
      const count = values.filter((value) => Math.floor(value * 10) === tenth).length;
      expect(Math.abs(count - 400)).toBeLessThan(100);
    }
  });
});

describe('checkSampling', () => {
  it.each([
    [{ temperature: -1 }],
    [{ temperature: Number.NaN }],
    [{ temperature: 1, topK: 0 }],
    [{ temperature: 1, topK: 1.5 }],
    [{ temperature: 1, topP: 0 }],
    [{ temperature: 1, topP: 1.1 }],
    [{ temperature: 1, minP: -0.1 }],
    [{ temperature: 1, minP: 1.1 }],
    [{ temperature: 1, repetitionPenalty: 0 }],
    [{ temperature: 1, repetitionPenalty: Infinity }],
  ])('refuses %j', (options) => {
    expect(() => checkSampling(options)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });

  it('accepts the ends of the ranges', () => {
    expect(() => checkSampling({ temperature: 0, topK: 1, topP: 1, minP: 0 })).not.toThrow();
    expect(() => checkSampling({ temperature: 0.01, minP: 1, repetitionPenalty: 0.5 })).not.toThrow();
  });
});
