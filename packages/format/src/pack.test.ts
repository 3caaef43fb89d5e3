import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dequantizeBilevel, quantizeBilevelTensor } from './bilevel.ts';
import { chooseFloatScheme, packFloat } from './float-tensor.ts';
import { halfToFloat } from './float16.ts';
import {
  checkPackedValues,
  packBilevel,
  packSymmetric,
  unpackBilevel,
  unpackSymmetric,
  unpackToFloat,
} from './pack.ts';
import {
  BILEVEL_2BIT_G128,
  BILEVEL_2BIT_G16,
  BILEVEL_3BIT_G16,
  BILEVEL_4BIT_G32,
  BILEVEL_4BIT_G32_QQ16,
  FLOAT16,
  FLOAT32,
  packedBytes,
} from './schemes.ts';
import type { BilevelScheme } from './schemes.ts';
import { quantizeSymmetric } from './symmetric.ts';
import { gaussian, thrown } from './test-weights.ts';

const packable = [BILEVEL_2BIT_G16, BILEVEL_2BIT_G128, BILEVEL_4BIT_G32, BILEVEL_4BIT_G32_QQ16];
const odd: BilevelScheme = { kind: 'bilevel', bits: 4, groupSize: 24, scaleGroupSize: 40, zero: 'integer' };

it('pack and unpack are inverse for random shapes and schemes', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...packable, odd),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer(),
      (scheme, panels, groups, seed) => {
        const rows = panels * scheme.scaleGroupSize;
        const columns = groups * scheme.groupSize;
        const tensor = quantizeBilevelTensor(gaussian(rows * columns, seed, 0.02), rows, columns, scheme);
        const packed = packBilevel(tensor);
        expect(unpackBilevel(packed)).toEqual(tensor);
        expect(unpackToFloat(packed)).toEqual(dequantizeBilevel(tensor.codes, tensor));
        expect(packed.codes.byteLength + packed.meta.byteLength).toBe(packedBytes(scheme, [rows, columns]));
      },
    ),
    { numRuns: 25 },
  );
});

it.each([
  ['2-bit g16', BILEVEL_2BIT_G16, 2.5],
  ['2-bit g128', BILEVEL_2BIT_G128, 2.0625],
  ['4-bit g32', BILEVEL_4BIT_G32, 4.2578125],
] as const)('%s takes %3$f bits per weight', (_, scheme, bits) => {
  const { codes, meta } = packBilevel(quantizeBilevelTensor(gaussian(256 * 384, 1), 256, 384, scheme));
  expect(((codes.byteLength + meta.byteLength) * 8) / (256 * 384)).toBe(bits);
});

describe('the layout of docs/format.md, read back by its formulas', () => {
  it.each(packable)('$bits bits, g $groupSize, qq $scaleGroupSize', (scheme) => {
    const { bits, groupSize: g, scaleGroupSize: qq } = scheme;
    const rows = 2 * qq;
    const columns = 3 * g;
    const tensor = quantizeBilevelTensor(gaussian(rows * columns, 9), rows, columns, scheme);
    const { codes, meta } = packBilevel(tensor);
    const M = (qq * bits) / 32 + (qq * 4) / 32 + 1;
    for (let row = 0; row < rows; row += 5) {
      const p = Math.floor(row / qq);
      const r = row % qq;
      for (let column = 0; column < columns; column += 3) {
        const group = Math.floor(column / g);
        const j = column % g;
        const word = ((p * 3 + group) * qq + r) * ((g * bits) / 32) + Math.floor(j / (32 / bits));
        const q = (codes[word] >>> ((j % (32 / bits)) * bits)) % 2 ** bits;
        expect(q).toBe(tensor.codes[row * columns + column]);
        const base = (p * 3 + group) * M;
        const z = (meta[base + Math.floor((r * bits) / 32)] >>> ((r * bits) % 32)) % 2 ** bits;
        expect(z).toBe(tensor.zero[row * 3 + group]);
        const c = (meta[base + (qq * bits) / 32 + Math.floor(r / 8)] >>> ((r % 8) * 4)) % 16;
        const S = halfToFloat(meta[base + M - 1] % 65536);
        const m = halfToFloat(meta[base + M - 1] >>> 16);
        expect(Math.fround(S * c + m)).toBe(tensor.scale[row * 3 + group]);
      }
    }
  });

  it('a block worked by hand', () => {
    // rows 0…15 are −1, 0, 1, 2 repeated (s = 1, z = 1, codes 0 1 2 3), row 15 twice that
    const weight = new Float32Array(256);
    for (let i = 0; i < 256; i++) weight[i] = ((i % 4) - 1) * (i >= 240 ? 2 : 1);
    const { codes, meta } = packBilevel(quantizeBilevelTensor(weight, 16, 16, BILEVEL_2BIT_G16));
    expect([...codes]).toEqual(Array.from({ length: 16 }, () => 0xe4e4e4e4));
    // 1/15 in fp16 is 0x2c44, 1 is 0x3c00; only row 15 has scale code 15
    expect([...meta]).toEqual([0x55555555, 0, 0xf0000000, 0x3c002c44]);
  });
});

describe('symmetric', () => {
  it('pack and unpack are inverse, at 4.5 bits per weight', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 70 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer(),
        (rows, groups, seed) => {
          const columns = groups * 32;
          const tensor = quantizeSymmetric(gaussian(rows * columns, seed), rows, columns);
          const packed = packSymmetric(tensor);
          expect(unpackSymmetric(packed)).toEqual(tensor);
          expect(packed.codes.byteLength + packed.scales.byteLength).toBe((rows * columns * 4.5) / 8);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('puts the first column into the lowest bits', () => {
    const weight = Float32Array.from({ length: 32 }, (_, i) => (i % 15) - 7);
    const { codes, scales } = packSymmetric(quantizeSymmetric(weight, 1, 32));
    expect([...codes].map((word) => word.toString(16))).toEqual(
      ['76543210', 'edcba98', '87654321', '10edcba9'].map(trim),
    );
    expect([...scales]).toEqual([0x3c00]);
  });
  const trim = (hex: string): string => hex.replace(/^0+/, '');
});

it('3 bits have no layout yet', () => {
  const tensor = quantizeBilevelTensor(gaussian(256, 1), 16, 16, BILEVEL_3BIT_G16);
  expect(thrown(() => packBilevel(tensor)).code).toBe('unsupported');
});

it('refuses arrays of the wrong size', () => {
  const packed = packBilevel(quantizeBilevelTensor(gaussian(512, 1), 16, 32, BILEVEL_2BIT_G16));
  expect(thrown(() => unpackBilevel({ ...packed, codes: packed.codes.subarray(1) })).code).toBe(
    'shape-mismatch',
  );
  expect(thrown(() => unpackBilevel({ ...packed, meta: packed.meta.subarray(1) })).code).toBe(
    'shape-mismatch',
  );
});

describe('checkPackedValues', () => {
  it('accepts what was packed', () => {
    const weight = gaussian(512, 1);
    expect(() => checkPackedValues(packSymmetric(quantizeSymmetric(weight, 16, 32)), 'x')).not.toThrow();
    expect(() => checkPackedValues(packFloat(weight, [512]), 'x')).not.toThrow();
  });

  it('finds an infinite minimum', () => {
    const packed = packBilevel(quantizeBilevelTensor(gaussian(512, 1), 16, 32, BILEVEL_2BIT_G16));
    expect(() => checkPackedValues(packed, 'x')).not.toThrow();
    packed.meta[7] = 0x7c000000;
    const error = thrown(() => checkPackedValues(packed, 'up_proj'));
    expect(error.code).toBe('verification-failed');
    expect(error.message).toContain('up_proj: the minimum of block 1 is Infinity');
  });

  it('finds a NaN scale and a NaN float', () => {
    const packed = packSymmetric(quantizeSymmetric(gaussian(64, 1), 2, 32));
    packed.scales[1] = 0x7e00;
    expect(thrown(() => checkPackedValues(packed, 'x')).message).toContain('scale 1 is NaN');
    const float = packFloat(Float32Array.of(1, NaN, 2), [3]);
    expect(thrown(() => checkPackedValues(float, 'x')).message).toContain('element 1 is NaN');
  });
});

describe('float tensors', () => {
  it.each([
    ['ordinary values', [1, -0.5], FLOAT16],
    ['values beyond fp16', [1, 70000], FLOAT32],
    ['nothing but values fp16 holds as subnormals', [1e-6, -2e-5], FLOAT32],
    ['zeros', [0, 0], FLOAT16],
    ['an odd element count', [1, 2, 3], FLOAT32],
  ])('%s', (_, values, expected) => {
    expect(chooseFloatScheme(Float32Array.from(values))).toBe(expected);
  });

  it('come back as they were, or as fp16 holds them', () => {
    expect([...unpackToFloat(packFloat(Float32Array.of(1, 0.1), [2, 1]))]).toEqual([1, 0.0999755859375]);
    const exact = Float32Array.of(0.1, 1e9, 3);
    expect(unpackToFloat(packFloat(exact, [3]))).toEqual(exact);
    expect(thrown(() => packFloat(exact, [2, 2])).code).toBe('shape-mismatch');
  });
});
