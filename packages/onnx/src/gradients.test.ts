import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { evaluate64 } from './testing/float64.ts';
import type { Array64 } from './testing/float64.ts';
import { gradientCases } from './testing/gradient-cases.ts';
import { randomNormals } from './testing/random.ts';
import { buildCase, runCase } from './testing/run-gradient-case.ts';

/** Step of the central difference; its error is about the square of it. */
const STEP = 1e-5;

/**
 * Every operator, composite and method of Ops: onnxruntime's results with two threads (some of its kernels
 * race) against an evaluation in float64, and the gradients along a random direction against its central
 * difference.
 */
describe.each(gradientCases())('$name', (gradientCase) => {
  it('has the values and gradients of float64', async () => {
    const built = buildCase(gradientCase);
    const { g, y, dy, names, values } = built;
    const results = await runCase(ort, built, { threads: 2 });
    const feeds = new Map<string, Array64>();
    for (const [name, { data, shape }] of values) feeds.set(name, { data: Float64Array.from(data), shape });
    const [expected] = evaluate64(g, [y], feeds);
    const actual = results.get('y')!;
    let largest = 0;
    expected.data.forEach((value) => (largest = Math.max(largest, Math.abs(value))));
    expected.data.forEach((value, i) => {
      if (!(Math.abs(actual[i] - value) <= 1e-5 * largest)) {
        expect.fail(`y[${i}] is ${actual[i]}, expected ${value}`);
      }
    });

    names.forEach((name, i) => {
      const { data, shape } = feeds.get(name)!;
      const direction = randomNormals(data.length, 500 + i);
      const loss = (sign: number) => {
        const moved = data.map((value, j) => value + sign * STEP * direction[j]);
        const [result] = evaluate64(g, [y], new Map(feeds).set(name, { data: moved, shape }));
        return result.data.reduce((sum, value, j) => sum + value * dy[j], 0);
      };
      const numeric = (loss(1) - loss(-1)) / (2 * STEP);
      const gradient = results.get(`d.${name}`)!;
      let slope = 0;
      let square = 0;
      gradient.forEach((value, j) => {
        slope += value * direction[j];
        square += value * value;
      });
      expect(square, `d.${name}`).toBeGreaterThan(0);
      // Along a random direction the slope is about the norm, so this is relative to the norm.
      expect(Math.abs(slope - numeric) / Math.sqrt(square), `d.${name}`).toBeLessThan(1e-4);
    });
  });
});
