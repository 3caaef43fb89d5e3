import {
  BILEVEL_2BIT_G128,
  BILEVEL_2BIT_G16,
  BILEVEL_4BIT_G32,
  BILEVEL_4BIT_G32_QQ16,
  FLOAT16,
  FLOAT32,
  SYMMETRIC_4BIT,
  namedScheme,
  packFloat,
  packWeight,
  unpackToFloat,
} from '@speedq/format';
import type { PackedTensor, Scheme } from '@speedq/format';
import { describe, expect, it } from 'vitest';
import { ONE_ROW } from '../../engine/recorder.ts';
import { requestTestDevice } from '../../node.ts';
import { OpBench, PER_COUNT, maxDifference, randomFloats } from '../../testing/harness.ts';
import { recordLinear } from './record.ts';
import { linearReference } from './reference.ts';

const gpu = await requestTestDevice();

function pack(scheme: Scheme, rows: number, columns: number, seed: number, scale = 1): PackedTensor {
  const values = randomFloats(rows * columns, seed, scale);
  return packWeight(values, [rows, columns], scheme);
}

/** Absolute, for x and weights within ±1: the rounding of a sum grows with its length. */
const ceiling = (columns: number) => 2e-5 * Math.max(1, columns / 256);

const CASES: [name: string, scheme: Scheme, rows: number, columns: number][] = [
  ['2-bit g16', BILEVEL_2BIT_G16, 48, 80],
  ['2-bit g16, wide', BILEVEL_2BIT_G16, 16, 1040],
  ['2-bit g128', BILEVEL_2BIT_G128, 80, 256],
  ['4-bit g32 qq128', BILEVEL_4BIT_G32, 128, 96],
  ['4-bit g32 qq16', BILEVEL_4BIT_G32_QQ16, 48, 160],
  ['2-bit g32 qq32', { ...BILEVEL_2BIT_G16, groupSize: 32, scaleGroupSize: 32 }, 96, 64],
  ['4-bit g16 qq16', { ...BILEVEL_4BIT_G32_QQ16, groupSize: 16 }, 16, 48],
  ['4-bit symmetric', SYMMETRIC_4BIT, 37, 96],
  ...(
    [
      ['2bit-g16-min', 48, 80],
      ['2bit-g64-min', 80, 192],
      ['2bit-row', 32, 112],
      ['2bit-row-min', 16, 368],
      ['3bit-g16', 48, 80],
      ['3bit-g16', 16, 1040],
      ['3bit-g32', 32, 96],
      ['3bit-g64-qq32', 64, 192],
      ['3bit-g128', 48, 384],
      ['3bit-row', 32, 176],
      ['3bit-g16-min', 48, 48],
      ['3bit-g128-min', 32, 256],
      ['4bit-g16', 48, 80],
      ['4bit-row', 16, 112],
      ['4bit-g32-min', 48, 160],
      ['2bit-symmetric', 37, 96],
      ['2bit-symmetric-g64', 19, 192],
      ['3bit-symmetric', 37, 96],
      ['3bit-symmetric-g64', 5, 320],
    ] as const
  ).map(([name, rows, columns]): (typeof CASES)[number] => [
    `${name} [${rows}, ${columns}]`,
    namedScheme(name, columns)!,
    rows,
    columns,
  ]),
  ['f16', FLOAT16, 19, 588],
  ['f32', FLOAT32, 70, 100],
  ['f32, few columns', FLOAT32, 3, 4],
];

describe.skipIf(gpu === null)('linear', () => {
  it.each(CASES)('%s: one row (matvec) equals float64', async (_, scheme, rows, columns) => {
    const bench = new OpBench(gpu!.device, 1);
    const packed = pack(scheme, rows, columns, rows);
    const x = randomFloats(columns, 5);
    const y = recordLinear(bench.recorder, bench.input(x, columns, ONE_ROW), bench.matrix(packed));
    const [actual] = await bench.run([y], { count: 1 });
    expect(maxDifference(actual, linearReference(x, unpackToFloat(packed), columns))).toBeLessThan(
      ceiling(columns),
    );
  });

  it.each(CASES)('%s: many rows (matmul) equal float64', async (_, scheme, rows, columns) => {
    const bench = new OpBench(gpu!.device, 64);
    const packed = pack(scheme, rows, columns, rows + 1);
    const count = 35;
    const x = randomFloats(count * columns, 6);
    const y = recordLinear(bench.recorder, bench.input(x, columns), bench.matrix(packed));
    const [actual] = await bench.run([y], { count });
    expect(maxDifference(actual, linearReference(x, unpackToFloat(packed), columns))).toBeLessThan(
      ceiling(columns),
    );
  });

  it.each([
    ['matvec', 1],
    ['matmul', 3],
  ])('%s: every epilogue, over a matrix split by rows', async (_, count) => {
    const [rows, columns] = [64, 32];
    const packed = pack(BILEVEL_2BIT_G16, rows, columns, 7, 3);
    const x = randomFloats(count * columns, 8);
    const options = {
      bias: randomFloats(rows, 9, 3),
      scale: randomFloats(rows, 10),
      residual: randomFloats(count * rows, 11),
    };
    const gate = randomFloats(count * rows, 12, 5);
    const bench = new OpBench(gpu!.device, count);
    const shape = count === 1 ? ONE_ROW : PER_COUNT;
    const input = bench.input(x, columns, shape);
    const matrix = bench.matrix(packed, [16, 48]);
    const plain = recordLinear(bench.recorder, input, matrix, {
      bias: bench.buffer(options.bias),
      scale: bench.buffer(options.scale),
      residual: bench.input(options.residual, rows, shape),
      activation: 'gelu',
    });
    const gated = recordLinear(bench.recorder, input, matrix, { gate: bench.input(gate, rows, shape) });
    const [actual, actualGated] = await bench.run([plain, gated], { count });
    const weight = unpackToFloat(packed);
    const expected = linearReference(x, weight, columns, { ...options, activation: 'gelu' });
    expect(maxDifference(actual, expected)).toBeLessThan(2e-5);
    expect(maxDifference(actualGated, linearReference(x, weight, columns, { gate }))).toBeLessThan(1e-4);
  });

  it('gelu is the exact one over the whole range', async () => {
    const x = Float32Array.from({ length: 2000 }, (_, i) => (i - 1000) / 125);
    const bench = new OpBench(gpu!.device, 2);
    const identity = packFloat(Float32Array.from([1, 0, 0, 0]), [1, 4], FLOAT32);
    const padded = new Float32Array(x.length * 4);
    x.forEach((v, i) => (padded[i * 4] = v));
    const rows = { perCount: x.length, fixed: 0 };
    const y = recordLinear(bench.recorder, bench.input(padded, 4, rows), bench.matrix(identity), {
      activation: 'gelu',
    });
    const [actual] = await bench.run([y], { count: 1 });
    const expected = linearReference(padded, Float32Array.from([1, 0, 0, 0]), 4, { activation: 'gelu' });
    expect(maxDifference(actual, expected)).toBeLessThan(1e-6);
  });

  it('decodes fp16 subnormal steps', async () => {
    const bench = new OpBench(gpu!.device, 1);
    // scales between 2e-5 and 6e-5: step and minimum are subnormal in fp16
    const packed = pack(BILEVEL_2BIT_G16, 16, 16, 13, 9e-5);
    const x = Float32Array.from({ length: 16 }, () => 1e4);
    const y = recordLinear(bench.recorder, bench.input(x, 16, ONE_ROW), bench.matrix(packed));
    const [actual] = await bench.run([y], { count: 1 });
    expect(maxDifference(actual, linearReference(x, unpackToFloat(packed), 16))).toBeLessThan(1e-4);
  });

  it('refuses an input of the wrong width, and codes it cannot read', () => {
    const bench = new OpBench(gpu!.device, 1);
    const matrix = bench.matrix(pack(FLOAT32, 4, 8, 1));
    const x = bench.input(randomFloats(4, 1), 4, ONE_ROW);
    expect(() => recordLinear(bench.recorder, x, matrix)).toThrowError(/takes 8 features/);
    const narrow = { ...matrix, scheme: { ...BILEVEL_2BIT_G16, groupSize: 8 }, columns: 16 };
    const wide = bench.input(randomFloats(16, 1), 16, ONE_ROW);
    expect(() => recordLinear(bench.recorder, wide, narrow)).toThrowError(/multiple of 16 columns/);
  });
});
