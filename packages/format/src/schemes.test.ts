import { describe, expect, it } from 'vitest';
import {
  BILEVEL_2BIT_G16,
  BILEVEL_3BIT_G16,
  FLOAT16,
  SCHEMES,
  SYMMETRIC_4BIT,
  bitsPerWeight,
  checkScheme,
  packedBytes,
  schemeName,
} from './schemes.ts';
import type { SchemeName } from './schemes.ts';
import { thrown } from './test-weights.ts';

const expectedBits: Record<SchemeName, number> = {
  '2bit-g16': 2.5,
  '2bit-g128': 2.0625,
  '3bit-g16': 3.5625,
  '4bit-g32': 4.2578125,
  '4bit-g32-qq16': 4.3125,
  '4bit-symmetric': 4.5,
  f16: 16,
  f32: 32,
};

describe.each(Object.keys(SCHEMES) as SchemeName[])('%s', (name) => {
  it('takes the bits per weight that docs/format.md lists', () => {
    expect(bitsPerWeight(SCHEMES[name])).toBe(expectedBits[name]);
  });

  it('is found again by its content', () => {
    expect(schemeName({ ...SCHEMES[name] })).toBe(name);
  });

  it.skipIf(name === '3bit-g16')('takes exactly that many bytes', () => {
    expect(packedBytes(SCHEMES[name], [256, 384])).toBe((256 * 384 * expectedBits[name]) / 8);
  });
});

it('has no packed size for 3 bits, whose rows are not whole words', () => {
  expect(thrown(() => packedBytes(BILEVEL_3BIT_G16, [16, 64])).code).toBe('unsupported');
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
