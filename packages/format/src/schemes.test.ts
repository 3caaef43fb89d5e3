import { describe, expect, it } from 'vitest';
import {
  BILEVEL_2BIT_G16,
  BILEVEL_3BIT_G16,
  FLOAT16,
  SCHEMES,
  SYMMETRIC_4BIT,
  bitsPerWeight,
  checkScheme,
  namedScheme,
  packedBytes,
  schemeName,
} from './schemes.ts';
import type { SchemeName } from './schemes.ts';
import { thrown } from './test-weights.ts';

const expectedBits: Record<keyof typeof SCHEMES, number> = {
  '2bit-g16': 2.5,
  '2bit-g128': 2.0625,
  '2bit-g16-min': 2.625,
  '3bit-g16': 3.5625,
  '3bit-g16-min': 3.625,
  '4bit-g32': 4.2578125,
  '4bit-g32-qq16': 4.3125,
  '4bit-g32-min': 4.3125,
  '2bit-symmetric': 2.5,
  '3bit-symmetric': 3.5,
  '4bit-symmetric': 4.5,
  f16: 16,
  f32: 32,
};

describe.each(Object.keys(SCHEMES) as (keyof typeof SCHEMES)[])('%s', (name) => {
  it('takes the bits per weight that docs/format.md lists', () => {
    expect(bitsPerWeight(SCHEMES[name])).toBe(expectedBits[name]);
  });

  it('is found again by its content', () => {
    expect(schemeName({ ...SCHEMES[name] })).toBe(name);
  });

  it('takes exactly that many bytes', () => {
    expect(packedBytes(SCHEMES[name], [256, 384])).toBe((256 * 384 * expectedBits[name]) / 8);
  });
});

it('rounds the zero points of a 3-bit panel up to whole words', () => {
  // 3 column groups: 3 · 24 words of codes, 3 · 4 of records, 3 half words of high bits
  expect(packedBytes(BILEVEL_3BIT_G16, [16, 48])).toBe((72 + 12 + 2) * 4);
});

it('has no packed size for rows that are not whole words', () => {
  const scheme = { ...BILEVEL_3BIT_G16, groupSize: 8 };
  expect(thrown(() => packedBytes(scheme, [16, 64])).code).toBe('unsupported');
});

describe('a scheme by its name', () => {
  it.each<[SchemeName, number, object]>([
    ['2bit-g64', 2.125, { bits: 2, groupSize: 64, scaleGroupSize: 16, zero: 'integer' }],
    ['2bit-g64-qq32-min', 2.140625, { bits: 2, groupSize: 64, scaleGroupSize: 32, zero: 'minimum' }],
    [
      '2bit-row',
      2 + 2 / 960 + 4 / 960 + 32 / (960 * 16),
      { bits: 2, groupSize: 960, scaleGroupSize: 16, zero: 'integer' },
    ],
    [
      '3bit-row-min',
      3 + 8 / 960 + 32 / (960 * 16),
      { bits: 3, groupSize: 960, scaleGroupSize: 16, zero: 'minimum' },
    ],
    ['4bit-g32', 4.2578125, { bits: 4, groupSize: 32, scaleGroupSize: 128, zero: 'integer' }],
    ['4bit-g64', 4.15625, { bits: 4, groupSize: 64, scaleGroupSize: 16, zero: 'integer' }],
    ['3bit-symmetric-g64', 3.25, { kind: 'symmetric', bits: 3, groupSize: 64 }],
  ])('%s', (name, bits, expected) => {
    const scheme = namedScheme(name, 960)!;
    expect(scheme).toMatchObject(expected);
    expect(bitsPerWeight(scheme)).toBeCloseTo(bits, 12);
    expect(namedScheme(schemeName(scheme), 1)).toEqual(scheme);
  });

  it.each(['5bit-g16', '2bit', '2bit-g0', '2bit-g16-max', '2bit-g16-min-qq16', 'toString'])(
    'is none for %s',
    (name) => {
      expect(namedScheme(name, 64)).toBeUndefined();
    },
  );
});

describe('checkScheme names the tensor and what does not divide', () => {
  it.each([
    ['rows', BILEVEL_2BIT_G16, [24, 64], 'shape-mismatch', '16, got 24'],
    ['columns', BILEVEL_2BIT_G16, [32, 40], 'shape-mismatch', '16, got 40'],
    ['symmetric columns', SYMMETRIC_4BIT, [3, 48], 'shape-mismatch', '32, got 48'],
    ['rank', BILEVEL_2BIT_G16, [16, 3, 16, 16], 'shape-mismatch', 'matrices'],
    ['no rows', BILEVEL_2BIT_G16, [0, 16], 'shape-mismatch', '16, got 0'],
    ['group size', { ...BILEVEL_2BIT_G16, groupSize: 0 }, [16, 16], 'invalid-scheme', 'positive'],
    ['bits', { ...BILEVEL_2BIT_G16, bits: 5 as 4 }, [16, 16], 'invalid-scheme', 'got 5'],
  ] as const)('%s', (_, scheme, shape, code, message) => {
    const error = thrown(() => checkScheme(scheme, shape, 'layers.3.up_proj.weight'));
    expect(error.code).toBe(code);
    expect(error.message).toContain('layers.3.up_proj.weight');
    expect(error.message).toContain(message);
  });

  it('accepts any shape for floats', () => {
    expect(() => checkScheme(FLOAT16, [3, 3, 14, 14], 'patch')).not.toThrow();
  });
});
