import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { roundToHalf } from './float16.ts';
import { SCHEMES, SYMMETRIC_4BIT, namedScheme } from './schemes.ts';
import type { SymmetricScheme } from './schemes.ts';
import { dequantizeSymmetric, quantizeSymmetric } from './symmetric.ts';
import { gaussian, relativeError, thrown } from './test-weights.ts';

const TABLES: [name: string, scheme: SymmetricScheme, ceiling: number][] = [
  ['2bit-symmetric', SCHEMES['2bit-symmetric'], 0.12],
  ['2bit-symmetric-g64', namedScheme('2bit-symmetric-g64', 0) as SymmetricScheme, 0.13],
  ['3bit-symmetric', SCHEMES['3bit-symmetric'], 0.035],
  ['3bit-symmetric-g64', namedScheme('3bit-symmetric-g64', 0) as SymmetricScheme, 0.04],
  ['4bit-symmetric', SYMMETRIC_4BIT, 0.0105],
];

it('codes the largest weight of a group as 0 or 14 and zero as 7', () => {
  const weight = new Float32Array(32);
  weight.set([-7, 3.5, 7, 0, 1.49, -1.51]);
  const { codes, scale } = quantizeSymmetric(weight, 1, 32);
  expect(scale[0]).toBe(1);
  // 3.5 + 7 is a tie and goes to the even code
  expect([...codes.subarray(0, 6)]).toEqual([0, 10, 14, 7, 8, 5]);
});

it('is idempotent: quantizing the dequantized table gives the same codes and scales', () => {
  const tables = fc.constantFrom(...TABLES.map(([, scheme]) => scheme));
  const rowCount = fc.integer({ min: 1, max: 3 });
  const magnitude = fc.integer({ min: -9, max: 4 }).map((exponent) => 10 ** exponent);
  fc.assert(
    fc.property(tables, fc.integer(), magnitude, rowCount, (scheme, seed, deviation, rows) => {
      const first = quantizeSymmetric(gaussian(rows * 192, seed, deviation), rows, 192, scheme);
      const again = quantizeSymmetric(dequantizeSymmetric(first), rows, 192, scheme);
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
  const once = quantizeSymmetric(weight, 8, 128, SYMMETRIC_4BIT, { reference: true });
  const twice = quantizeSymmetric(dequantizeSymmetric(once), 8, 128, SYMMETRIC_4BIT, { reference: true });
  expect(twice.scale[0] / once.scale[0]).toBeCloseTo(14 / 15, 5);
});

/** Measured and rounded up. */
it.each(TABLES)(
  '%s keeps the relative squared error on Gaussian weights under its ceiling',
  (_, scheme, ceiling) => {
    const weight = gaussian(64 * 512, 11, 0.02);
    const error = relativeError(weight, dequantizeSymmetric(quantizeSymmetric(weight, 64, 512, scheme)));
    expect(error).toBeLessThan(ceiling);
    expect(error).toBeGreaterThan(ceiling / 2);
  },
);

it('spends all codes below 4 bits, half a step around zero', () => {
  const weight = new Float32Array(32).fill(0.5);
  weight.set([-1.5, -0.5, 0.5, 1.5]);
  const tensor = quantizeSymmetric(weight, 1, 32, SCHEMES['2bit-symmetric']);
  expect(tensor.scale[0]).toBe(1);
  expect([...tensor.codes.subarray(0, 4)]).toEqual([0, 1, 2, 3]);
});

it('knows the reference’s rule at 4 bits only', () => {
  const run = () =>
    quantizeSymmetric(new Float32Array(32), 1, 32, SCHEMES['3bit-symmetric'], { reference: true });
  expect(thrown(run).code).toBe('unsupported');
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
    const error = thrown(() => quantizeSymmetric(weight, 2, 32, SYMMETRIC_4BIT, { name: 'embed' }));
    expect(error.code).toBe('not-representable');
    expect(error.message).toContain('embed: row 1');
  });

  it('columns that are not a multiple of 32', () => {
    expect(thrown(() => quantizeSymmetric(new Float32Array(80), 2, 40)).code).toBe('shape-mismatch');
  });
});
