import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import {
  BILEVEL_2BIT_G128,
  BILEVEL_2BIT_G16,
  BILEVEL_2BIT_G16_MIN,
  BILEVEL_3BIT_G16,
  BILEVEL_4BIT_G32,
  BILEVEL_4BIT_G32_QQ16,
  fakeQuantizeBilevel,
  gradientMask,
  namedScheme,
  schemeName,
  searchClipRange,
} from '@speedq/format';
import type { BilevelScheme } from '@speedq/format';
import { fakeQuantize } from './fake-quantize.ts';
import { Graph } from './graph.ts';
import { runFakeQuantize } from './testing/run-fake-quantize.ts';
import { edgeWeights, randomNormals } from './testing/random.ts';

const SCHEMES = [
  BILEVEL_2BIT_G16,
  BILEVEL_2BIT_G128,
  BILEVEL_3BIT_G16,
  BILEVEL_4BIT_G32,
  BILEVEL_4BIT_G32_QQ16,
  BILEVEL_2BIT_G16_MIN,
  ...['2bit-g128-min', '3bit-g32-min', '4bit-g32-min', '3bit-row'].map(
    (name) => namedScheme(name, 96) as BilevelScheme,
  ),
];

const session = { threads: 2 };

/** Equal as numbers: the quantizer's −0 and 0 are one. */
function expectSame(actual: Float32Array, expected: ArrayLike<number>, what: string) {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < actual.length; i++) {
    if (actual[i] !== expected[i]) expect.fail(`${what}[${i}] is ${actual[i]}, expected ${expected[i]}`);
  }
}

describe.each(SCHEMES.map((scheme) => [schemeName(scheme), scheme] as const))(
  'fakeQuantize %s',
  (_name, scheme) => {
    const shape = [scheme.scaleGroupSize * 3, scheme.groupSize * 5];
    const count = shape[0] * shape[1];
    const weights = {
      normal: randomNormals(count, 7).map((value) => value * 0.02),
      huge: randomNormals(count, 8).map((value) => value * 8000),
      tiny: randomNormals(count, 9).map((value) => value * 2e-5),
      edge: edgeWeights(shape[0], shape[1], scheme.groupSize),
    };
    describe.each(Object.entries(weights))('%s weights', (_kind, weight) => {
      it.each(scheme.zero === 'integer' ? [false, true] : [false])(
        'equals the format quantizer to the bit (reference: %s)',
        async (reference) => {
          const expected = fakeQuantizeBilevel(weight, shape[0], shape[1], scheme, { reference });
          const mask = gradientMask(weight, expected.parameters);
          const actual = await runFakeQuantize(ort, weight, shape, scheme, { reference, session });
          expectSame(actual.values, expected.values, 'values');
          expectSame(
            actual.gradient,
            actual.upstream.map((value, i) => value * mask[i]),
            'gradient',
          );
        },
      );
    });

    it('quantizes inside a searched range', async () => {
      const weight = weights.normal;
      const gram = new Float64Array(shape[1] * scheme.groupSize);
      for (let i = 0; i < shape[1]; i++) gram[i * scheme.groupSize + (i % scheme.groupSize)] = 1;
      const range = searchClipRange(weight, shape[0], shape[1], scheme, gram);
      const expected = fakeQuantizeBilevel(weight, shape[0], shape[1], scheme, { range });
      const actual = await runFakeQuantize(ort, weight, shape, scheme, { range, session });
      expectSame(actual.values, expected.values, 'values');
    });

    it('refuses a shape the scheme does not divide', () => {
      const g = new Graph();
      const weight = g.input('w', [shape[0] + 1, shape[1]]);
      expect(() => fakeQuantize(g, weight, scheme)).toThrowError(/row count/);
    });
  },
);
