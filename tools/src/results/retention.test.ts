import { describe, expect, it } from 'vitest';
import { retention } from './retention.ts';
import type { Pair } from './retention.ts';

const repeat = (count: number, pair: Pair): Pair[] => Array.from({ length: count }, () => pair);

describe('retention', () => {
  it('is the ratio of accuracies, raw and above chance', () => {
    // Float 90 of 100, model 70 of 100, chance 50 %: 7/9, and 20/40.
    const pairs = [
      ...repeat(70, { float: 1, model: 1, chance: 0.5 }),
      ...repeat(20, { float: 1, model: 0, chance: 0.5 }),
      ...repeat(10, { float: 0, model: 0, chance: 0.5 }),
    ];
    const { raw, rawInterval, corrected, correctedInterval } = retention(pairs);
    expect(raw).toBeCloseTo(7 / 9, 12);
    expect(corrected).toBeCloseTo(1 / 2, 12);
    // The delta method's standard error of the paired ratio: sqrt(r (1 − r) / hits) = 0.0438.
    expect(rawInterval[0]).toBeCloseTo(7 / 9 - 1.96 * 0.0438, 1);
    expect(rawInterval[1]).toBeCloseTo(7 / 9 + 1.96 * 0.0438, 1);
    expect(correctedInterval[0]).toBeLessThan(0.5);
    expect(correctedInterval[1]).toBeGreaterThan(0.5);
    expect(retention(pairs)).toEqual({ raw, rawInterval, corrected, correctedInterval });
  });

  it('has no spread where both models agree everywhere', () => {
    const pairs = [
      ...repeat(30, { float: 1, model: 1, chance: 0.25 }),
      ...repeat(10, { float: 0, model: 0, chance: 0.25 }),
    ];
    expect(retention(pairs)).toEqual({
      raw: 1,
      rawInterval: [1, 1],
      corrected: 1,
      correctedInterval: [1, 1],
    });
  });

  it('says nothing where the float model knows nothing', () => {
    const { raw, corrected } = retention(repeat(5, { float: 0, model: 1, chance: 0 }));
    expect(raw).toBeNaN();
    expect(corrected).toBeNaN();
    expect(retention(repeat(4, { float: 1, model: 1, chance: 1 })).corrected).toBeNaN();
  });
});
