import { randomFloats } from '@speedq/kernels/testing';
import { expect, it } from 'vitest';
import { Heap } from '../heap.ts';
import { instantiateKernels } from './module.ts';

async function open(values: Float32Array) {
  const heap = new Heap();
  const kernels = await instantiateKernels(heap.memory);
  const at = heap.floats(values.length);
  heap.f32.set(values, at >>> 2);
  return { heap, kernels, at, read: () => heap.f32.slice(at >>> 2, (at >>> 2) + values.length) };
}

const wide = [...randomFloats(64, 1, 12), 0, -0, 1e-30, -1e-30, 40, -40, 100, -100];

/** erf by the series without alternating signs, e^(−x²)·2/√π·Σ 2ⁿx²ⁿ⁺¹/(2n+1)!!, and 1 far out. */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let [term, sum] = [x, x];
  for (let n = 1; n < 200; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

it('gelu', async () => {
  const { kernels, at, read } = await open(Float32Array.from(wide));
  kernels.gelu(at, wide.length / 4);
  for (const [i, y] of read().entries()) {
    const x = Math.fround(wide[i]);
    const expected = (x / 2) * (1 + erf(x / Math.SQRT2));
    expect(Math.abs(y - expected)).toBeLessThan(3e-7 * Math.max(1, Math.abs(x)));
  }
});

it('the gate: silu(gate) · up', async () => {
  const up = randomFloats(wide.length, 2);
  const { kernels, at, read, heap } = await open(Float32Array.from(wide));
  const upAt = heap.floats(up.length);
  heap.f32.set(up, upAt >>> 2);
  kernels.siluGate(at, upAt, wide.length / 4);
  const result = heap.f32.slice(at >>> 2, (at >>> 2) + wide.length);
  expect(result).toEqual(read());
  for (const [i, y] of result.entries()) {
    const x = Math.fround(wide[i]);
    const expected = (x / (1 + Math.exp(-x))) * up[i];
    expect(Math.abs(y - expected)).toBeLessThan(1e-6 * Math.max(1e-3, Math.abs(expected)) + 1e-30);
  }
});

it.each([4, 36, 1000])('softmax of %d scores, some of them hidden', async (count) => {
  const hidden = -3e38;
  const scores = randomFloats(count, count, 30).map((v, i) => (i > count - 3 ? hidden : v));
  const { kernels, at, read } = await open(scores);
  kernels.softmax(at, count / 4, 0.125);
  const seen = [...scores].filter((v) => v > hidden);
  const most = Math.max(...seen);
  const sum = seen.reduce((total, v) => total + Math.exp((v - most) / 8), 0);
  for (const [i, p] of read().entries()) {
    const expected = scores[i] > hidden ? Math.exp((scores[i] - most) / 8) / sum : 0;
    expect(Math.abs(p - expected)).toBeLessThan(1e-6 * Math.max(expected, 1e-3));
  }
});
