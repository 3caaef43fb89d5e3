import {
  BILEVEL_2BIT_G16,
  BILEVEL_2BIT_G16_MIN,
  BILEVEL_4BIT_G32_QQ16,
  accumulateGram,
  chooseBilevel,
  dequantizeBilevel,
  packBilevel,
  quantizeBilevelTensor,
  searchClipRange,
  unpackBilevel,
} from '@speedq/format';
import type { BilevelParameters, BilevelScheme } from '@speedq/format';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRandom } from '../../data/random.ts';
import { gptq } from './gptq.ts';
import {
  DoubleProducts,
  factorAndInverse,
  invertUpper,
  quadraticError,
  upperFactor,
} from './linear-algebra.ts';

let products: DoubleProducts;
beforeAll(async () => (products = await DoubleProducts.create(1)));
afterAll(() => products.release());

const settings = { damping: 0.01, actOrder: false, refreshScales: false, clipSearch: false };

function normals(seed: number, count: number): Float32Array {
  const random = createRandom(seed);
  return new Float32Array(count).map(() => (random.next() + random.next() + random.next() - 1.5) * 2);
}

/** Correlated activations [tokens, columns], as those of real networks are. */
function activations(seed: number, tokens: number, columns: number): Float32Array {
  const base = normals(seed, tokens * 4);
  const mix = normals(seed + 1, 4 * columns);
  const noise = normals(seed + 2, tokens * columns);
  return noise.map((value, i) => {
    const [token, column] = [Math.floor(i / columns), i % columns];
    let sum = 0.3 * value;
    for (let k = 0; k < 4; k++) sum += base[token * 4 + k] * mix[k * columns + column];
    return sum * (1 + (column % 5));
  });
}

function gramOf(x: Float32Array, columns: number): Float64Array {
  const gram = new Float64Array(columns * columns);
  accumulateGram(x, x.length / columns, columns, columns, gram);
  return gram;
}

/** The inverse by Gauss-Jordan elimination. */
function inverse(matrix: readonly (readonly number[])[]): number[][] {
  const n = matrix.length;
  const rows = matrix.map((row, i) => [...row, ...row.map((_, j) => (i === j ? 1 : 0))]);
  for (let i = 0; i < n; i++) {
    const pivot = rows[i][i];
    rows[i] = rows[i].map((value) => value / pivot);
    for (let k = 0; k < n; k++) {
      if (k === i) continue;
      const factor = rows[k][i];
      rows[k] = rows[k].map((value, j) => value - factor * rows[i][j]);
    }
  }
  return rows.map((row) => row.slice(n));
}

/**
 * Optimal Brain Quantization with a fixed order, straight from the formulas (GPTQ, equations 2 and 3): after each
 * column, w_F ← w_F − (w_q − quant(w_q)) / [H_F⁻¹]_qq · (H_F⁻¹)_{:,q}, and H_F⁻¹ loses row and column q.
 */
function optimalBrain(
  weight: Float32Array,
  columns: number,
  hessian: Float64Array,
  { scale, zero, scheme }: BilevelParameters,
  order: readonly number[],
): number[] {
  const codes = new Array<number>(weight.length);
  const qmax = 2 ** scheme.bits - 1;
  const groups = columns / scheme.groupSize;
  const inverses = [inverse(order.map((i) => order.map((j) => hessian[i * columns + j])))];
  while (inverses.length < columns) {
    const [[first, ...across], ...below] = inverses.at(-1)!;
    inverses.push(below.map(([down, ...row]) => row.map((value, j) => value - (down * across[j]) / first)));
  }
  for (let row = 0; row < weight.length / columns; row++) {
    const w = Array.from(weight.subarray(row * columns, (row + 1) * columns));
    order.forEach((column, step) => {
      const group = row * groups + Math.floor(column / scheme.groupSize);
      const code = Math.min(qmax, Math.max(0, Math.round(w[column] / scale[group] + zero[group])));
      codes[row * columns + column] = code;
      const error = w[column] - scale[group] * (code - zero[group]);
      const h = inverses[step];
      order.slice(step).forEach((other, k) => (w[other] -= (error / h[0][0]) * h[k][0]));
    });
  }
  return codes;
}

test('the factor of H⁻¹ is what the definition says', () => {
  const n = 24;
  const h = gramOf(activations(5, 100, n), n);
  const m = upperFactor(h, n);
  const u = invertUpper(m, n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let product = 0;
      let identity = 0;
      for (let k = 0; k < n; k++) {
        product += m[i * n + k] * m[j * n + k];
        identity += m[i * n + k] * u[k * n + j];
      }
      expect(product).toBeCloseTo(h[i * n + j], 6);
      expect(identity).toBeCloseTo(i === j ? 1 : 0, 8);
      if (j < i) expect([m[i * n + j], u[i * n + j]]).toEqual([0, 0]);
    }
  }
});

test('by halves, factor and inverse are those found element by element', async () => {
  const n = 300;
  const h = gramOf(activations(6, 400, n), n);
  const { factor, inverse } = await factorAndInverse(h, n, products);
  const whole = upperFactor(h, n);
  const largest = (values: Float64Array) =>
    values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (const [found, expected] of [[factor, whole] as const, [inverse, invertUpper(whole, n)] as const]) {
    expect(largest(found.map((value, i) => value - expected[i]))).toBeLessThan(1e-9 * largest(expected));
  }
});

test('a Gram matrix that is not positive definite is named by its column', async () => {
  const n = 200;
  const h = gramOf(activations(6, 400, n), n);
  h[30 * n + 30] = -1;
  await expect(factorAndInverse(h, n, products)).rejects.toThrow(/at column 30/);
});

test.each([
  [false, 48],
  [true, 48],
  [false, 288],
])('codes are those of optimal brain quantization (act-order %s, %i columns)', async (actOrder, columns) => {
  const rows = 16;
  const scheme = BILEVEL_2BIT_G16;
  const weight = normals(1, rows * columns);
  const gram = gramOf(activations(2, 400, columns), columns);
  const found = await gptq(weight, rows, columns, scheme, gram, { ...settings, actOrder }, products);
  let mean = 0;
  for (let i = 0; i < columns; i++) mean += gram[i * columns + i] / columns;
  const hessian = gram.slice();
  for (let i = 0; i < columns; i++) hessian[i * columns + i] += 0.01 * mean;
  const order = [...Array(columns).keys()];
  if (actOrder) order.sort((a, b) => gram[b * columns + b] - gram[a * columns + a]);
  const parameters = chooseBilevel(weight, rows, columns, scheme);
  expect([...found.codes]).toEqual(optimalBrain(weight, columns, hessian, parameters, order));
});

const outputError = (
  weight: Float32Array,
  tensor: BilevelParameters & { readonly codes: Uint8Array },
  x: Float32Array,
): number => {
  // Straight from the tokens, not through the Gram matrix.
  const { rows, columns } = tensor;
  const values = dequantizeBilevel(tensor.codes, tensor);
  let total = 0;
  for (let t = 0; t < x.length / columns; t++) {
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      for (let j = 0; j < columns; j++) {
        sum += (weight[row * columns + j] - values[row * columns + j]) * x[t * columns + j];
      }
      total += sum * sum;
    }
  }
  return total;
};

test.each<[string, BilevelScheme]>([
  ['2 bits', BILEVEL_2BIT_G16],
  ['2 bits with minima', BILEVEL_2BIT_G16_MIN],
  ['4 bits', BILEVEL_4BIT_G32_QQ16],
])('error feedback, then scales from corrected weights, lower the output error at %s', async (_, scheme) => {
  const [rows, columns] = [32, 96];
  const weight = normals(7, rows * columns);
  const x = activations(8, 300, columns);
  const gram = gramOf(x, columns);
  const blocks = new Float64Array(columns * scheme.groupSize);
  accumulateGram(x, 300, columns, scheme.groupSize, blocks);
  const range = searchClipRange(weight, rows, columns, scheme, blocks);
  const error = async (options: Partial<typeof settings>) => {
    const all = { ...settings, clipSearch: true, ...options };
    return outputError(weight, await gptq(weight, rows, columns, scheme, gram, all, products), x);
  };
  const nearest = outputError(weight, quantizeBilevelTensor(weight, rows, columns, scheme), x);
  const clip = outputError(weight, quantizeBilevelTensor(weight, rows, columns, scheme, { range }), x);
  const fixed = await error({});
  const refreshed = await error({ refreshScales: true });
  expect(clip).toBeLessThan(nearest);
  expect(fixed).toBeLessThan(0.6 * clip);
  expect(refreshed).toBeLessThan(fixed);
});

test('what comes out packs without loss, dead columns included', async () => {
  const [rows, columns] = [32, 64];
  const weight = normals(9, rows * columns);
  const x = activations(10, 50, columns).map((value, i) => (i % columns === 3 ? 0 : value));
  const options = { ...settings, refreshScales: true, clipSearch: true };
  const tensor = await gptq(weight, rows, columns, BILEVEL_2BIT_G16, gramOf(x, columns), options, products);
  const unpacked = unpackBilevel(packBilevel(tensor));
  expect(unpacked.codes).toEqual(tensor.codes);
  expect(unpacked.scale).toEqual(tensor.scale);
  expect(unpacked.zero).toEqual(tensor.zero);
});

test('the quadratic form is the squared error of the output', () => {
  const columns = 40;
  const x = activations(11, 60, columns);
  const error = normals(12, 3 * columns);
  let direct = 0;
  for (let t = 0; t < 60; t++) {
    for (let row = 0; row < 3; row++) {
      let sum = 0;
      for (let j = 0; j < columns; j++) sum += error[row * columns + j] * x[t * columns + j];
      direct += sum * sum;
    }
  }
  expect(quadraticError(error, gramOf(x, columns), columns) / direct).toBeCloseTo(1, 6);
});
