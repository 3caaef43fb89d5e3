import { expect, test } from 'vitest';
import { cosineRate } from './schedule.ts';

test('rises over the first 3 %, then falls as a cosine', () => {
  const rate = (step: number) => cosineRate(step, 200, 8e-6, 0.03);
  // 6 updates of warm-up; then half a cosine over 194.
  expect(rate(0)).toBe(0);
  expect(rate(3)).toBeCloseTo(4e-6, 12);
  expect(rate(6)).toBeCloseTo(8e-6, 12);
  expect(rate(6 + 97)).toBeCloseTo(4e-6, 12);
  expect(rate(6 + 48.5)).toBeCloseTo(8e-6 * 0.5 * (1 + Math.SQRT1_2), 12);
  expect(rate(200)).toBeCloseTo(0, 12);
});

test('without warm-up the first update has the full rate', () => {
  expect(cosineRate(0, 10, 1, 0)).toBe(1);
});
