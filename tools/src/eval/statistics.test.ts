import { describe, expect, it } from 'vitest';
import { klDivergence, logProbabilities, wilsonInterval } from './statistics.ts';

describe('wilsonInterval', () => {
  it.each([
    // Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
    // The mirror image of 0 of 20.
    [20, 20, 0.8389, 1],
  ])('%i of %i', (hits, count, low, high) => {
    const [l, h] = wilsonInterval(hits, count);
    expect(l).toBeCloseTo(low, 4);
    expect(h).toBeCloseTo(high, 4);
  });

  it('knows nothing of nothing', () => {
    expect(wilsonInterval(0, 0)).toEqual([0, 1]);
  });
});

describe('klDivergence', () => {
  it('is what the definition gives by hand', () => {
    // p = (1/2, 1/2), q = (3/4, 1/4): ½ ln(2/3) + ½ ln 2 = 0.5 ln(4/3).
    const p = logProbabilities([7, 7], 0, 2);
    const q = logProbabilities([Math.log(3) - 100, -100], 0, 2);
    expect(klDivergence(p, q)).toBeCloseTo(0.5 * Math.log(4 / 3), 12);
    // The other way round: ¾ ln(3/2) + ¼ ln(1/2).
    expect(klDivergence(q, p)).toBeCloseTo(0.75 * Math.log(1.5) + 0.25 * Math.log(0.5), 12);
    expect(klDivergence(p, p)).toBe(0);
  });

  it('stays finite where a probability vanishes', () => {
    const sure = logProbabilities([2000, 0], 0, 2);
    const even = logProbabilities([0, 0], 0, 2);
    expect(klDivergence(sure, even)).toBeCloseTo(Math.log(2), 12);
    expect(klDivergence(even, sure)).toBeCloseTo(1000 - Math.log(2), 9);
  });

  it('reads one row of several', () => {
    const rows = [9, 9, 9, 0, Math.log(2), Math.log(5)];
    expect([...logProbabilities(rows, 3, 3)].map(Math.exp)).toEqual([
      expect.closeTo(1 / 8, 12),
      expect.closeTo(2 / 8, 12),
      expect.closeTo(5 / 8, 12),
    ]);
  });
});
