import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  chooseBilevel,
  clampToRange,
  dequantizeBilevel,
  fakeQuantizeBilevel,
  gradientMask,
  groupRange,
  quantizeBilevel,
  quantizeBilevelTensor,
} from './bilevel.ts';
import { roundToHalf } from './float16.ts';
import { BILEVEL_2BIT_G16, SCHEMES, namedScheme } from './schemes.ts';
import type { BilevelScheme } from './schemes.ts';
import { gaussian, relativeError, thrown } from './test-weights.ts';

/** Exact in float32 and easy to make elsewhere; rows 1, 3, 5 and 7 are special cases. */
function patternWeight(rows: number, columns: number): Float32Array {
  const weight = new Float32Array(rows * columns);
  for (let i = 0; i < weight.length; i++) {
    const row = Math.floor(i / columns);
    const base = ((((i * 7919 + ((i * i) % 6007)) % 2003) - 1001) / 16384) * (1 + (row % 7));
    if (row === 1 && i % columns < columns / 2) weight[i] = 0;
    else if (row === 3) weight[i] = Math.abs(base) + 0.25;
    else if (row === 5) weight[i] = -0.125;
    else if (row === 7) weight[i] = base / 4096;
    else weight[i] = base;
  }
  return weight;
}

const digest = (array: Uint8Array | Float32Array): string =>
  createHash('sha256')
    .update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    .digest('hex')
    .slice(0, 16);

describe('equals, to the bit, the same arithmetic in NumPy (float32 and float16)', () => {
  it.each([
    ['2bit-g16', 48, 96, '8e48f37bcfcd63d9', '739ddae7b5b8122e', 'e0a45850b007c041', '5262f474fb4523ba'],
    ['2bit-g128', 32, 256, '8d408b9f6d8f1df2', '0017b9db15ca4c1d', '607d1bfc0606a0e7', '3ff34d6b5e924019'],
    ['3bit-g16', 16, 48, 'd8fb0bc9451b78cb', 'ac065b207e2c1b5d', '28569d70b459a16a', 'ae02f735c6bb83ed'],
    ['4bit-g32', 128, 96, 'd909c41239977e4b', '458137684f4f9ef8', 'ab7a4df096da3751', '3c698c5cb3f61d2e'],
    ['4bit-g32-qq16', 32, 64, '67da8f0f8689bc85', 'c17f4d61e518a784', '940f81dea6cfd2f8', '099c17c9a600999d'],
    ['2bit-g16-min', 48, 96, '7e91e6f669ab2f6c', 'e540ecdf928d3eba', '8bc675676b2fff65', '0dc54229e258e669'],
    ['3bit-g16-min', 16, 48, 'a9fcd0b1c75394cf', '02afd4b98d13705e', '7d50176f97f77ef9', '68c2b608439025d0'],
    ['4bit-g32-min', 32, 64, '50d596f5e0605464', '807f1319b0d80221', '5d34da67fca2bc13', 'b686255733f27d05'],
  ] as const)('%s', (name, rows, columns, codes, zero, scaleCode, values) => {
    const tensor = quantizeBilevelTensor(patternWeight(rows, columns), rows, columns, SCHEMES[name]);
    expect(digest(tensor.scaleCode)).toBe(scaleCode);
    expect(digest(tensor.zero)).toBe(zero);
    expect(digest(tensor.codes)).toBe(codes);
    expect(digest(dequantizeBilevel(tensor.codes, tensor))).toBe(values);
  });
});

describe('what the reference gets wrong', () => {
  const tiny: BilevelScheme = { kind: 'bilevel', bits: 2, groupSize: 4, scaleGroupSize: 2, zero: 'integer' };

  it('equal scales decode to themselves (fp16)', () => {
    const row = [-0.25, 0.5, 0.1, 0];
    const weight = Float32Array.from([...row, ...row]);
    const { scale, step, minimum } = chooseBilevel(weight, 2, 4, tiny);
    expect(step[0]).toBe(0);
    expect(minimum[0]).toBe(0.25);
    expect([...scale]).toEqual([0.25, 0.25]);
    const reference = chooseBilevel(weight, 2, 4, tiny, { reference: true });
    expect(Math.abs(reference.scale[0])).toBeCloseTo(0.2, 5);
  });

  it.each([0.75, -0.75, 0.001, -300])('a group that is all %f decodes to its constant', (constant) => {
    const weight = new Float32Array(8).fill(constant);
    const { values } = fakeQuantizeBilevel(weight, 2, 4, tiny);
    for (const value of values) expect(Math.abs(value / constant - 1)).toBeLessThanOrEqual(2 ** -11);
  });

  it('all-positive and all-negative groups do not saturate', () => {
    const weight = Float32Array.from([1, 1.1, 1.2, 1.25, -1, -1.1, -1.2, -1.25]);
    const { values } = fakeQuantizeBilevel(weight, 2, 4, tiny);
    for (let i = 0; i < 8; i++) expect(Math.abs(values[i] - weight[i])).toBeLessThan(1.25 / 6 + 1e-3);
  });

  it('an all-zero row leaves its neighbour’s scale exact', () => {
    const weight = Float32Array.from([0, 0, 0, 0, -0.25, 0.5, 0.25, 0]);
    const { values } = fakeQuantizeBilevel(weight, 2, 4, tiny);
    expect([...values]).toEqual([...weight]);
  });

  it('a block of zeros decodes to zeros', () => {
    const { values } = fakeQuantizeBilevel(new Float32Array(8), 2, 4, tiny);
    expect(values.every((value) => value === 0)).toBe(true);
  });
});

it('step and minimum are fp16 values, decoded scales are positive', () => {
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(1e-6, 1e-3, 0.02, 1, 1e4), (seed, deviation) => {
      const { step, minimum, scale } = chooseBilevel(
        gaussian(1024, seed, deviation),
        32,
        32,
        BILEVEL_2BIT_G16,
      );
      for (const value of [...step, ...minimum]) expect(roundToHalf(value)).toBe(value);
      expect(scale.every((value) => value > 0)).toBe(true);
    }),
  );
});

describe.each([
  ['NaN', NaN],
  ['infinity', -Infinity],
  ['a scale beyond fp16', 3e5],
])('%s', (_, bad) => {
  it.each([false, true])('is refused, naming the tensor (range given: %s)', (withRange) => {
    const weight = gaussian(512, 1);
    weight[300] = bad;
    const range = { min: new Float32Array(32).fill(-3), max: new Float32Array(32).fill(3e5) };
    const error = thrown(() =>
      chooseBilevel(weight, 16, 32, BILEVEL_2BIT_G16, {
        name: 'mlp.weight',
        range: withRange ? range : undefined,
      }),
    );
    expect(error.code).toBe('not-representable');
    expect(error.message).toContain('mlp.weight');
  });
});

it('refuses data that are not the shape', () => {
  expect(thrown(() => chooseBilevel(new Float32Array(100), 16, 16, BILEVEL_2BIT_G16)).code).toBe(
    'shape-mismatch',
  );
});

/** Relative squared error on Gaussian weights, measured and rounded up: a ceiling per scheme and arithmetic. */
describe.each([
  ['2bit-g16', 0.125],
  ['2bit-g128', 0.4],
  ['2bit-row', 0.5],
  ['2bit-g16-min', 0.115],
  ['2bit-g32-min', 0.18],
  ['2bit-g64-min', 0.25],
  ['2bit-g128-min', 0.35],
  ['2bit-row-min', 0.5],
  ['3bit-g16', 0.0235],
  ['3bit-g128', 0.07],
  ['3bit-g16-min', 0.022],
  ['3bit-g128-min', 0.07],
  ['4bit-g16', 0.006],
  ['4bit-g32', 0.0075],
  ['4bit-g128', 0.015],
  ['4bit-g32-min', 0.008],
] as const)('%s', (name, ceiling) => {
  const weight = gaussian(128 * 512, 7, 0.02);
  const scheme = namedScheme(name, 512) as BilevelScheme;

  it.each(scheme.zero === 'integer' ? [false, true] : [false])(
    `keeps the error under ${ceiling} (reference: %s)`,
    (reference) => {
      const { values } = fakeQuantizeBilevel(weight, 128, 512, scheme, { reference });
      const error = relativeError(weight, values);
      expect(error).toBeLessThan(ceiling);
      expect(error).toBeGreaterThan(ceiling / 2);
    },
  );

  it('gives the codes back when dequantized weights are quantized with the same parameters', () => {
    const tensor = quantizeBilevelTensor(weight, 128, 512, scheme);
    expect(quantizeBilevel(dequantizeBilevel(tensor.codes, tensor), tensor)).toEqual(tensor.codes);
  });

  it('passes gradient exactly where the weight lies within reach of the codes', () => {
    const tensor = quantizeBilevelTensor(weight, 128, 512, scheme);
    const mask = gradientMask(weight, tensor);
    const qmax = 2 ** scheme.bits - 1;
    for (let i = 0; i < weight.length; i += 97) {
      const group = Math.floor(i / scheme.groupSize);
      const zero = tensor.offset ? tensor.offset[group] / tensor.scale[group] : tensor.zero[group];
      const position = weight[i] / tensor.scale[group] + zero;
      if (Math.abs(position) < 1e-5 || Math.abs(position - qmax) < 1e-5) continue;
      expect(mask[i]).toBe(position >= 0 && position <= qmax ? 1 : 0);
    }
  });
});

describe('a searched range', () => {
  const weight = gaussian(64 * 64, 3);
  const own = groupRange(weight, 64, 64, 16);
  const range = { min: own.min.map((x) => x * 0.7), max: own.max.map((x) => x * 0.8) };

  it('gives what quantizing the clamped weights gives', () => {
    const clamped = clampToRange(weight, range, 16);
    expect(quantizeBilevelTensor(weight, 64, 64, BILEVEL_2BIT_G16, { range })).toEqual(
      quantizeBilevelTensor(clamped, 64, 64, BILEVEL_2BIT_G16),
    );
  });

  it('must have one pair per group', () => {
    const short = { min: range.min.subarray(1), max: range.max };
    expect(thrown(() => chooseBilevel(weight, 64, 64, BILEVEL_2BIT_G16, { range: short })).code).toBe(
      'shape-mismatch',
    );
  });
});
