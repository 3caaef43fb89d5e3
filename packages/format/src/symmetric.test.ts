import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { roundToHalf } from './float16.ts';
import { dequantizeSymmetric, quantizeSymmetric } from './symmetric.ts';
import { gaussian, relativeError, thrown } from './test-weights.ts';

it('codes the largest weight of a group as 0 or 14 and zero as 7', () => {
  const weight = new Float32Array(32);
  weight.set([-7, 3.5, 7, 0, 1.49, -1.51]);
  const { codes, scale } = quantizeSymmetric(weight, 1, 32);
  expect(scale[0]).toBe(1);
  // 3.5 + 7 is a tie and goes to the even code
  expect([...codes.subarray(0, 6)]).toEqual([0, 10, 14, 7, 8, 5]);
});

it('is idempotent: quantizing the dequantized table gives the same codes and scales', () => {
  const magnitude = fc.integer({ min: -9, max: 4 }).map((exponent) => 10 ** exponent);
  fc.assert(
    fc.property(fc.integer(), magnitude, fc.integer({ min: 1, max: 5 }), (seed, deviation, rows) => {
      const first = quantizeSymmetric(gaussian(rows * 96, seed, deviation), rows, 96);
      const again = quantizeSymmetric(dequantizeSymmetric(first), rows, 96);
      expect(again).toEqual(first);
    }),
    { numRuns: 500 },
  );
});

it('scales are fp16 values', () => {
  const { scale } = quantizeSymmetric(gaussian(3200, 5, 0.03), 25, 128);
  for (const value of scale) expect(roundToHalf(value)).toBe(value);
});

it('shrinks the table each time under the reference’s rule, which is why it is not the default', () => {
  const weight = gaussian(1024, 2);
  const once = quantizeSymmetric(weight, 8, 128, { reference: true });
  const twice = quantizeSymmetric(dequantizeSymmetric(once), 8, 128, { reference: true });
  expect(twice.scale[0] / once.scale[0]).toBeCloseTo(14 / 15, 5);
});

it('keeps the relative squared error on Gaussian weights under 0.0105', () => {
  const weight = gaussian(64 * 512, 11, 0.02);
  const error = relativeError(weight, dequantizeSymmetric(quantizeSymmetric(weight, 64, 512)));
  expect(error).toBeLessThan(0.0105);
  expect(error).toBeGreaterThan(0.005);
});

it('keeps zeros zero', () => {
  const tensor = quantizeSymmetric(new Float32Array(64), 2, 32);
  expect(tensor.scale.every((value) => value === 0)).toBe(true);
  expect(dequantizeSymmetric(tensor).every((value) => value === 0)).toBe(true);
});

describe('refuses', () => {
  it.each([
    ['NaN', NaN],
    ['infinity', Infinity],
    ['scales beyond fp16', 1e6],
  ])('%s', (_, bad) => {
    const weight = new Float32Array(64);
    weight[40] = bad;
    const error = thrown(() => quantizeSymmetric(weight, 2, 32, { name: 'embed' }));
    expect(error.code).toBe('not-representable');
    expect(error.message).toContain('embed: row 1');
  });

  it('columns that are not a multiple of 32', () => {
    expect(thrown(() => quantizeSymmetric(new Float32Array(80), 2, 40)).code).toBe('shape-mismatch');
  });
});
