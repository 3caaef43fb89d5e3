import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bfloatToFloat,
  bfloatsToFloats,
  floatToBfloat,
  floatToHalf,
  floatsToBfloats,
  floatsToHalves,
  halfToFloat,
  halvesToFloats,
  roundHalfToEven,
} from './float16.ts';

/** IEEE 754 binary16 from its definition. */
function halfValue(half: number): number {
  const sign = half >> 15 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = (half & 1023) / 1024;
  return exponent === 0 ? sign * fraction * 2 ** -14 : sign * (1 + fraction) * 2 ** (exponent - 15);
}

describe('fp16', () => {
  it('decodes every finite pattern to its IEEE value and encodes it back', () => {
    const wrong: number[] = [];
    for (let half = 0; half < 65536; half++) {
      if (((half >> 10) & 31) === 31) continue;
      const value = halfValue(half);
      if (!Object.is(halfToFloat(half), value) || floatToHalf(value) !== half) wrong.push(half);
    }
    expect(wrong).toEqual([]);
  });

  it('keeps infinities and NaN', () => {
    expect(halfToFloat(0x7c00)).toBe(Infinity);
    expect(halfToFloat(0xfc00)).toBe(-Infinity);
    expect(halfToFloat(0x7e01)).toBeNaN();
    expect(floatToHalf(-Infinity)).toBe(0xfc00);
    expect(halfToFloat(floatToHalf(NaN))).toBeNaN();
  });

  it('rounds every midpoint to the even neighbour and its float32 neighbours to the nearer one', () => {
    for (let half = 0; half < 0x7bff; half += 7) {
      const middle = (halfValue(half) + halfValue(half + 1)) / 2;
      expect(floatToHalf(middle)).toBe(half + (half & 1));
      expect(floatToHalf(middle * (1 + 2 ** -22))).toBe(half + 1);
      expect(floatToHalf(middle * (1 - 2 ** -22))).toBe(half);
      expect(floatToHalf(-middle)).toBe(0x8000 | (half + (half & 1)));
    }
  });

  it('overflows from 65520 on', () => {
    expect(floatToHalf(65519.99)).toBe(0x7bff);
    expect(floatToHalf(65520)).toBe(0x7c00);
    expect(floatToHalf(3e38)).toBe(0x7c00);
  });
});

describe('bf16', () => {
  it('rounds to the nearest of 8 significant bits, ties to even', () => {
    expect(floatToBfloat(1)).toBe(0x3f80);
    expect(floatToBfloat(1 + 2 ** -8)).toBe(0x3f80);
    expect(floatToBfloat(1 + 3 * 2 ** -8)).toBe(0x3f82);
    expect(floatToBfloat(1 + 2 ** -8 + 2 ** -20)).toBe(0x3f81);
    expect(floatToBfloat(-2)).toBe(0xc000);
    expect(bfloatToFloat(floatToBfloat(NaN))).toBeNaN();
    expect(floatToBfloat(3.4e38)).toBe(0x7f80);
  });
});

it('bulk conversions equal the single ones', () => {
  fc.assert(
    fc.property(fc.float32Array({ noNaN: true, maxLength: 40 }), (values) => {
      expect([...floatsToHalves(values)]).toEqual(Array.from(values, floatToHalf));
      expect([...floatsToBfloats(values)]).toEqual(Array.from(values, floatToBfloat));
      const halves = floatsToHalves(values);
      expect([...halvesToFloats(halves)]).toEqual(Array.from(halves, halfToFloat));
      const bfloats = floatsToBfloats(values);
      expect([...bfloatsToFloats(bfloats)]).toEqual(Array.from(bfloats, bfloatToFloat));
    }),
  );
});

it.each([
  [0.5, 0],
  [1.5, 2],
  [2.5, 2],
  [-0.5, 0],
  [-1.5, -2],
  [2.4999998, 2],
  [7.5000005, 8],
  [-3, -3],
])('rounds %f to %i', (x, expected) => {
  expect(roundHalfToEven(x) + 0).toBe(expected);
});
