import { expect, test } from 'vitest';
import { learningRateAt } from './schedule.ts';

const schedule = { learningRate: 1, warmupSteps: 10, decay: 0.5 };

test('warms up linearly, holds, and falls to a twentieth over the last share of the steps', () => {
  expect(learningRateAt(1, 100, schedule)).toBeCloseTo(0.1);
  expect(learningRateAt(10, 100, schedule)).toBe(1);
  expect(learningRateAt(50, 100, schedule)).toBe(1);
  expect(learningRateAt(75, 100, schedule)).toBeCloseTo(0.525);
  expect(learningRateAt(100, 100, schedule)).toBeCloseTo(0.05);
});

test('a run shorter than its warm-up never reaches the peak', () => {
  expect(Math.max(...[1, 2, 3].map((step) => learningRateAt(step, 3, schedule)))).toBeLessThan(0.4);
});
