import { FLOAT16, FLOAT32, namedScheme, packWeight, unpackToFloat } from '@speedq/format';
import type { Scheme } from '@speedq/format';
import { packedSource, randomFloats } from '@speedq/kernels/testing';
import { describe, expect, it } from 'vitest';
import { Heap } from '../heap.ts';
import { instantiateKernels } from '../kernels/module.ts';
import { readRow } from '../weights/packed-matrix.ts';
import { padded, WeightStore } from '../weights/store.ts';
import { allocateRows, multiply } from './linear.ts';

/** Rows of activations round the tiles of 4 and the chunks of 64. */
const TOKENS = [1, 3, 4, 7, 64, 70];

async function open(scheme: Scheme, rows: number, columns: number, splits?: readonly number[]) {
  const tensor = packWeight(randomFloats(rows * columns, rows + columns), [rows, columns], scheme);
  const heap = new Heap();
  const kernels = await instantiateKernels(heap.memory);
  const source = packedSource(new Map([['w', tensor]]), splits && { w: splits });
  const store = await WeightStore.load(heap, source, rows);
  return { values: unpackToFloat(tensor), heap, kernels, store };
}

/** x · Wᵀ + bias in float64. */
function reference(x: Float32Array, w: Float32Array, bias: Float32Array, columns: number): Float64Array {
  const rows = w.length / columns;
  return Float64Array.from({ length: (x.length / columns) * rows }, (_, i) => {
    const [t, r] = [Math.floor(i / rows), i % rows];
    let sum = bias[r];
    for (let c = 0; c < columns; c++) sum += x[t * columns + c] * w[r * columns + c];
    return sum;
  });
}

type Case = [name: string, scheme: Scheme, rows: number, columns: number, splits: number[] | undefined];
const packed = (name: string, rows: number, columns: number, splits?: number[]): Case => [
  name,
  namedScheme(name, columns)!,
  rows,
  columns,
  splits,
];
const CASES: Case[] = [
  packed('2bit-g16', 48, 80, [16, 32]),
  packed('2bit-g128', 32, 256),
  packed('2bit-row', 16, 896),
  packed('2bit-g16-min', 32, 48, [16, 16]),
  packed('2bit-g64-qq8-min', 24, 128),
  packed('3bit-g16', 32, 80),
  packed('3bit-g16-min', 16, 32),
  packed('4bit-g32', 256, 96, [128, 128]),
  packed('4bit-g32-qq16', 16, 32),
  packed('4bit-row-qq8', 8, 1040),
  packed('4bit-g32-min', 32, 64),
  // Tables may have any number of rows.
  packed('4bit-symmetric', 77, 64, [16, 61]),
  packed('3bit-symmetric', 31, 64),
  packed('2bit-symmetric-g64', 18, 128),
  ['f16', FLOAT16, 50, 36, undefined],
  ['f32, awkward', FLOAT32, 13, 7, undefined],
];

describe.each(CASES)('%s', (_, scheme, rows, columns, splits) => {
  it.each(TOKENS)('%d rows of activations as in float64', async (tokens) => {
    const { values, heap, kernels, store } = await open(scheme, rows, columns, splits);
    // One row far larger than the others, one of zeros.
    const x = randomFloats(tokens * columns, tokens).map((v, i) =>
      i < columns ? v * 1000 : Math.floor(i / columns) === 2 ? 0 : v,
    );
    const bias = randomFloats(rows, 5);
    const input = allocateRows(heap, tokens, columns);
    const biasAt = heap.floats(padded(rows));
    heap.f32.set(bias, biasAt >>> 2);
    for (let t = 0; t < tokens; t++) {
      heap.f32.set(x.subarray(t * columns, (t + 1) * columns), (input.data >>> 2) + t * input.stride);
    }
    const [y] = multiply(heap, kernels, input, [{ matrix: store.matrix('w'), bias: biasAt }]);
    const expected = reference(x, values, bias, columns);
    for (let t = 0; t < tokens; t++) {
      const row = heap.f32.subarray((y.data >>> 2) + t * y.stride, (y.data >>> 2) + t * y.stride + rows);
      const wanted = expected.subarray(t * rows, (t + 1) * rows);
      const largest = x
        .subarray(t * columns, (t + 1) * columns)
        .reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      for (const [r, v] of wanted.entries()) {
        const weight = values
          .subarray(r * columns, (r + 1) * columns)
          .reduce((sum, w) => sum + Math.abs(w), 0);
        // Each activation is off by half a step of its group's largest, the float32 sums by a few units.
        const ceiling =
          weight * largest * (scheme.kind === 'float' ? 0 : 0.5 / 32767) + 1e-6 * weight * (largest + 1);
        expect(Math.abs(row[r] - v)).toBeLessThan(ceiling);
      }
    }
  });
});

it.each(CASES.filter(([, { kind }]) => kind !== 'float'))(
  'rows by themselves are those of the format: %s',
  async (_, scheme, rows, columns, splits) => {
    const { values, heap, store } = await open(scheme, rows, columns, splits);
    const row = new Float32Array(columns);
    for (let r = 0; r < rows; r++) {
      const matrix = store.matrix('w');
      if (matrix.kind === 'float') throw new Error('not packed');
      readRow(heap, matrix, r, row);
      expect(row).toEqual(values.subarray(r * columns, (r + 1) * columns));
    }
  },
);
