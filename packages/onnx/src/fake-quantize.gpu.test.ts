import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { BILEVEL_2BIT_G16, BILEVEL_4BIT_G32, fakeQuantizeBilevel, gradientMask } from '@speedq/format';
import { runFakeQuantize } from './testing/run-fake-quantize.ts';
import { edgeWeights, randomNormals } from './testing/random.ts';
import { hasWebgpuProvider } from './providers.ts';

/** Where a GPU is required, its absence must fail, not skip. */
const required = process.env.REQUIRE_GPU === '1';

describe.skipIf(!required && !(await hasWebgpuProvider(ort)))('fakeQuantize on WebGPU', () => {
  describe.each([BILEVEL_2BIT_G16, BILEVEL_4BIT_G32])('$bits bits', (scheme) => {
    const shape = [scheme.scaleGroupSize * 2, scheme.groupSize * 4] as const;
    const weights = {
      normal: randomNormals(shape[0] * shape[1], 7).map((value) => value * 0.02),
      edge: edgeWeights(shape[0], shape[1], scheme.groupSize),
    };
    describe.each(Object.entries(weights))('%s weights', (_kind, weight) => {
      it.each([false, true])('gives the codes of the format quantizer (reference: %s)', async (reference) => {
        const expected = fakeQuantizeBilevel(weight, shape[0], shape[1], scheme, { reference });
        const mask = gradientMask(weight, expected.parameters);
        const actual = await runFakeQuantize(ort, weight, shape, scheme, {
          reference,
          session: { executionProvider: 'webgpu' },
        });
        expected.values.forEach((value, i) => {
          // One code off would be a whole step; a division may be one unit in the last place off.
          if (!(Math.abs(actual.values[i] - value) <= 3e-7 * Math.abs(value))) {
            expect.fail(`values[${i}] is ${actual.values[i]}, expected ${value}`);
          }
        });
        const passed = actual.upstream.map((value, i) => value * mask[i]);
        expect(actual.gradient.filter((value, i) => value !== passed[i]).length).toBe(0);
      });
    });
  });
});
