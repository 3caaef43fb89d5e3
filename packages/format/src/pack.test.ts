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
  SCHEMES,
  bilevelLayout,
  namedScheme,
  packedBytes,
} from './schemes.ts';
import type { BilevelScheme } from './schemes.ts';
import { quantizeSymmetric } from './symmetric.ts';
import { gaussian, thrown } from './test-weights.ts';

const packable = [
  BILEVEL_2BIT_G16,
  BILEVEL_2BIT_G128,
  BILEVEL_3BIT_G16,
  BILEVEL_4BIT_G32,
  BILEVEL_4BIT_G32_QQ16,
  ...(
    ['3bit-g128', '3bit-g32-qq32', '2bit-g16-min', '2bit-g32-min', '3bit-g16-min', '4bit-g32-min'] as const
  ).map((name) => namedScheme(name, 0) as BilevelScheme),
];
const odd: BilevelScheme = { kind: 'bilevel', bits: 4, groupSize: 24, scaleGroupSize: 40, zero: 'integer' };
const odd3: BilevelScheme = { ...odd, bits: 3, groupSize: 48, scaleGroupSize: 48 };

it('pack and unpack are inverse for random shapes and schemes', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...packable, odd, odd3),
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
    { numRuns: 60 },
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
  it.each(packable)('$bits bits, g $groupSize, qq $scaleGroupSize, $zero', (scheme) => {
    const { bits, groupSize: g, scaleGroupSize: qq, zero } = scheme;
    const rows = 2 * qq;
    const columns = 3 * g;
    const G = 3;
    const tensor = quantizeBilevelTensor(gaussian(rows * columns, 9), rows, columns, scheme);
    const { codes, meta } = packBilevel(tensor);
    const b = bits === 3 ? 2 : bits;
    const zeroBits = zero === 'minimum' ? 4 : b;
    const B = (qq * g * bits) / 32;
    const M = (qq * zeroBits) / 32 + (qq * 4) / 32 + 1;
    const P = G * M + (bits === 3 && zero === 'integer' ? Math.ceil((G * qq) / 32) : 0);
    const field = (words: Uint32Array, base: number, bit: number, size: number) =>
      (words[base + Math.floor(bit / 32)] >>> (bit % 32)) % 2 ** size;
    for (let row = 0; row < rows; row += 5) {
      const p = Math.floor(row / qq);
      const r = row % qq;
      for (let column = 0; column < columns; column += 3) {
        const group = Math.floor(column / g);
        const j = column % g;
        const block = (p * G + group) * B;
        let q = field(codes, block, (r * g + j) * b, b);
        if (bits === 3) q += 4 * field(codes, block + (qq * g * 2) / 32, r * g + j, 1);
        expect(q).toBe(tensor.codes[row * columns + column]);
        const base = p * P + group * M;
        let z = field(meta, base, r * zeroBits, zeroBits);
        if (P > G * M) z += 4 * field(meta, p * P + G * M, group * qq + r, 1);
        expect(z).toBe(tensor.zero[row * G + group]);
        const c = field(meta, base + (qq * zeroBits) / 32, r * 4, 4);
        const S = halfToFloat(meta[base + M - 1] % 65536);
        const m = halfToFloat(meta[base + M - 1] >>> 16);
        const s = zero === 'minimum' ? S * c : Math.fround(S * c + m);
        expect(s).toBe(tensor.scale[row * G + group]);
        const value = zero === 'minimum' ? Math.fround(s * q - m * z) : Math.fround(s * (q - z));
        expect(value).toBe(dequantizeBilevel(tensor.codes, tensor)[row * columns + column]);
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
  it('pack and unpack are inverse, in exactly as many bytes as said', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...([2, 3, 4] as const)),
        fc.constantFrom(32, 64, 96),
        fc.integer({ min: 1, max: 70 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer(),
        (bits, groupSize, rows, groups, seed) => {
          const scheme = { kind: 'symmetric', bits, groupSize } as const;
          const columns = groups * groupSize;
          const tensor = quantizeSymmetric(gaussian(rows * columns, seed), rows, columns, scheme);
          const packed = packSymmetric(tensor);
          expect(unpackSymmetric(packed)).toEqual(tensor);
          expect(packed.codes.byteLength + packed.scales.byteLength).toBe(
            packedBytes(scheme, [rows, columns]),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  it('keeps 3-bit codes in two words of low bits and one of high bits for 32 columns', () => {
    const weight = Float32Array.from({ length: 32 }, (_, i) => (i % 8) - 3.5);
    const { codes, scales } = packSymmetric(quantizeSymmetric(weight, 1, 32, SCHEMES['3bit-symmetric']));
    expect([...codes].map((word) => word.toString(16))).toEqual(['e4e4e4e4', 'e4e4e4e4', 'f0f0f0f0']);
    expect([...scales]).toEqual([0x3c00]);
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

it('a 3-bit block worked by hand', () => {
  // every row 0 … 7 twice and −0 … −7 in the second group: zeros 0 and 7, scale 1
  const weight = new Float32Array(16 * 32);
  for (let i = 0; i < weight.length; i++) weight[i] = (i % 8) * (i % 32 < 16 ? 1 : -1);
  const { codes, meta } = packBilevel(quantizeBilevelTensor(weight, 16, 32, BILEVEL_3BIT_G16));
  const repeat = (word: number, count: number) => Array.from({ length: count }, () => word);
  expect([...codes]).toEqual([
    ...[...repeat(0xe4e4e4e4, 16), ...repeat(0xf0f0f0f0, 8)],
    ...[...repeat(0x1b1b1b1b, 16), ...repeat(0x0f0f0f0f, 8)],
  ]);
  // two records, then the high bits of the zero points of both groups
  expect([...meta]).toEqual([0, 0, 0, 0x3c000000, 0xffffffff, 0, 0, 0x3c000000, 0xffff0000]);
});

it('a block with minima worked by hand', () => {
  // −15 … 0 in steps of 5: μ = 15 from a step of 1, s = 5 from a step of 1/3; row 15 a third of that
  const weight = new Float32Array(256);
  for (let i = 0; i < 256; i++) weight[i] = ((i % 4) * 5 - 15) / (i >= 240 ? 3 : 1);
  const { codes, meta } = packBilevel(quantizeBilevelTensor(weight, 16, 16, SCHEMES['2bit-g16-min']));
  expect([...codes]).toEqual(Array.from({ length: 16 }, () => 0xe4e4e4e4));
  // 1/3 in fp16 is 0x3555, 1 is 0x3c00
  expect([...meta]).toEqual([0xffffffff, 0x5fffffff, 0xffffffff, 0x5fffffff, 0x3c003555]);
});

it('3-bit groups of 16 take two thirds of a 2-bit block more than that', () => {
  expect(bilevelLayout(BILEVEL_3BIT_G16)).toMatchObject({ codeWords: 24, lowWords: 16, metaWords: 4 });
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
