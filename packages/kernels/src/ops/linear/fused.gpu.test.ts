import {
  BILEVEL_2BIT_G16,
  BILEVEL_4BIT_G32,
  FLOAT16,
  FLOAT32,
  SYMMETRIC_4BIT,
  packFloat,
  packWeight,
  unpackToFloat,
} from '@speedq/format';
import type { PackedTensor, Scheme } from '@speedq/format';
import { describe, expect, it } from 'vitest';
import { ONE_ROW } from '../../engine/recorder.ts';
import { requestTestDevice } from '../../node.ts';
import { OpBench, PER_COUNT, maxDifference, randomFloats, sideBySide } from '../../testing/harness.ts';
import { normReference } from '../norm/reference.ts';
import { recordGated, recordHead, recordLinear } from './record.ts';
import { linearReference } from './reference.ts';

const gpu = await requestTestDevice();
const EPSILON = 1e-6;

function pack(scheme: Scheme, rows: number, columns: number, seed: number): PackedTensor {
  return packWeight(randomFloats(rows * columns, seed), [rows, columns], scheme);
}

/** Rows around 3 with norm weights around 1: a norm left out, or applied twice, shows. */
function normed(columns: number, seed: number) {
  const x = randomFloats(columns, seed).map((v) => 3 + v);
  const weight = randomFloats(columns, seed + 1, 0.5).map((v) => 1 + v);
  const expected = normReference(x, { kind: 'rms', width: columns, epsilon: EPSILON, weight });
  return { x, weight, expected: Float32Array.from(expected) };
}

const CASES: [name: string, scheme: Scheme, rows: number, columns: number][] = [
  ['2-bit g16', BILEVEL_2BIT_G16, 48, 80],
  ['2-bit g16, wide', BILEVEL_2BIT_G16, 32, 1040],
  ['4-bit g32', BILEVEL_4BIT_G32, 256, 96],
  ['4-bit symmetric', SYMMETRIC_4BIT, 40, 160],
  ['f16', FLOAT16, 24, 588],
  ['f32, no multiple of a unit', FLOAT32, 72, 100],
];

describe.skipIf(gpu === null)('fused linears', () => {
  it.each(CASES)('%s: norm + linear + bias of one row equals float64', async (_, scheme, rows, columns) => {
    const bench = new OpBench(gpu!.device, 1);
    const packed = pack(scheme, rows, columns, rows);
    const { x, weight, expected } = normed(columns, 5);
    const bias = randomFloats(rows, 6);
    const y = recordLinear(bench.recorder, bench.input(x, columns, ONE_ROW), bench.matrix(packed), {
      norm: { epsilon: EPSILON, weight: bench.buffer(weight) },
      bias: bench.buffer(bias),
    });
    const [actual] = await bench.run([y], { count: 1 });
    const reference = linearReference(expected, unpackToFloat(packed), columns, { bias });
    expect(maxDifference(actual, reference)).toBeLessThan(1e-4);
  });

  it.each(CASES)('%s: norm + gate and up + SiLU equal float64', async (_, scheme, rows, columns) => {
    const packed = pack(scheme, rows, columns, rows + 2);
    const dequantized = unpackToFloat(packed);
    const half = (dequantized.length / 2) | 0;
    const [gates, ups] = [dequantized.subarray(0, half), dequantized.subarray(half)];
    const { x, weight, expected } = normed(columns, 7);
    const gated = (input: Float32Array) => {
      const gate = Float32Array.from(linearReference(input, gates, columns));
      return linearReference(input, ups, columns, { gate });
    };
    const one = new OpBench(gpu!.device, 1);
    const single = recordGated(one.recorder, one.input(x, columns, ONE_ROW), one.matrix(packed), {
      norm: { epsilon: EPSILON, weight: one.buffer(weight) },
    });
    const [actual] = await one.run([single], { count: 1 });
    const scale = Math.max(...gated(expected).map(Math.abs));
    expect(maxDifference(actual, gated(expected)) / scale).toBeLessThan(1e-5);

    const many = new OpBench(gpu!.device, 40);
    const rowsOfX = randomFloats(35 * columns, 8);
    const all = recordGated(many.recorder, many.input(rowsOfX, columns), many.matrix(packed));
    const [actualAll] = await many.run([all], { count: 35 });
    const scaleAll = Math.max(...gated(rowsOfX).map(Math.abs));
    expect(maxDifference(actualAll, gated(rowsOfX)) / scaleAll).toBeLessThan(1e-5);
  });

  it.each([
    ['matvec', 1],
    ['matmul', 5],
  ])('%s: matrices of different schemes give their features side by side', async (_, count) => {
    const columns = 64;
    const matrices = [
      pack(BILEVEL_2BIT_G16, 48, columns, 1),
      pack(FLOAT16, 20, columns, 2),
      pack(SYMMETRIC_4BIT, 7, columns, 3),
    ];
    const x = randomFloats(count * columns, 4);
    const bias = randomFloats(75, 5);
    const bench = new OpBench(gpu!.device, count);
    const input = bench.input(x, columns, count === 1 ? ONE_ROW : PER_COUNT);
    const y = recordLinear(
      bench.recorder,
      input,
      matrices.map((packed) => bench.matrix(packed)),
      { bias: bench.buffer(bias) },
    );
    const [actual] = await bench.run([y], { count });
    const parts = matrices.map((packed) =>
      Float32Array.from(linearReference(x, unpackToFloat(packed), columns)),
    );
    const expected = sideBySide(count, parts).map((v, i) => v + bias[i % 75]);
    expect(maxDifference(actual, expected)).toBeLessThan(2e-5);
  });

  it.each([
    ['whole', undefined],
    ['split by rows', [16, 288]],
  ])('a head, %s, names candidates among which the largest logit is', async (_, splits) => {
    const [rows, columns] = [304, 32];
    const packed = pack(FLOAT32, rows, columns, 9);
    const { x, weight, expected } = normed(columns, 10);
    const bench = new OpBench(gpu!.device, 1);
    const norm = { epsilon: EPSILON, weight: bench.buffer(weight) };
    const input = bench.input(x, columns, ONE_ROW);
    const { logits, candidates } = recordHead(bench.recorder, input, bench.matrix(packed, splits), { norm });
    const outputs = [logits, candidates.values, candidates.indices];
    const [actual, values, indices] = await bench.run(outputs, { count: 1 });
    expect(maxDifference(actual, linearReference(expected, unpackToFloat(packed), columns))).toBeLessThan(
      2e-5,
    );
    const [best, largest] = [indexOfLargest(values), indexOfLargest(actual)];
    expect(new Uint32Array(indices.buffer)[best]).toBe(largest);
    expect(values[best]).toBe(actual[largest]);
  });

  it('a head may have more workgroups than one dimension of a dispatch', async () => {
    const rows = 64 * 65_540;
    const data = new Float32Array(rows * 4);
    // the largest where only the second line of workgroups comes
    const winner = rows - 77;
    for (let row = 0; row < rows; row++) data[row * 4] = row === winner ? 2 : (row % 1000) / 1000;
    const bench = new OpBench(gpu!.device, 1);
    const input = bench.input(Float32Array.of(1, 5, 5, 5), 4, ONE_ROW);
    const matrix = bench.matrix(packFloat(data, [rows, 4], FLOAT32));
    const { logits, candidates } = recordHead(bench.recorder, input, matrix, {});
    const outputs = [logits, candidates.values, candidates.indices];
    const [actual, values, indices] = await bench.run(outputs, { count: 1 });
    expect(actual.every((value, row) => value === data[row * 4])).toBe(true);
    expect(values).toHaveLength(65_540);
    expect(new Uint32Array(indices.buffer)[indexOfLargest(values)]).toBe(winner);
  });
});

function indexOfLargest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
