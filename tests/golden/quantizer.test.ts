import { describe, expect, it } from 'vitest';
import {
  SYMMETRIC_4BIT,
  chooseBilevel,
  dequantizeBilevel,
  dequantizeSymmetric,
  gradientMask,
  parseSafetensors,
  quantizeBilevelTensor,
  quantizeSymmetric,
  requireTensor,
  tensorBytes,
  tensorToFloats,
} from '@speedq/format';
import type { BilevelScheme } from '@speedq/format';
import { goldenCases, readGolden } from './folder.ts';

/** What the reference implementation's quantizer gave, case by case; `reference: true` must repeat it. */
function open(name: string) {
  const bytes = readGolden('quantizer', `${name}.safetensors`);
  const header = parseSafetensors(bytes, name);
  const tensor = (key: string) => requireTensor(header, key, name);
  return {
    metadata: header.metadata,
    has: (key: string) => header.tensors.has(key),
    shape: (key: string) => tensor(key).shape,
    floats: (key: string) => tensorToFloats(tensorBytes(bytes, tensor(key)), tensor(key).dtype),
    bytes: (key: string) => Uint8Array.from(tensorBytes(bytes, tensor(key))),
  };
}

/** Every element within 1e-6 relative. */
function expectClose(actual: Float32Array, expected: Float32Array, what: string): void {
  expect(actual.length, what).toBe(expected.length);
  for (let i = 0; i < actual.length; i++) {
    const tolerance = 1e-6 * Math.abs(expected[i]);
    if (!(Math.abs(actual[i] - expected[i]) <= tolerance)) {
      expect.fail(`${what}[${i}]: ${actual[i]}, expected ${expected[i]}`);
    }
  }
}

describe.each(goldenCases('quantizer', '.safetensors'))('quantizer %s', (name) => {
  const golden = open(name);
  const [rows, columns] = golden.shape('weight');
  const weight = golden.floats('weight');

  if (golden.has('scale_code')) {
    const scheme: BilevelScheme = {
      kind: 'bilevel',
      bits: Number(golden.metadata.get('bits')) as 2 | 3 | 4,
      groupSize: Number(golden.metadata.get('group_size')),
      scaleGroupSize: Number(golden.metadata.get('scale_group_size')),
      zero: 'integer',
    };
    const tensor = quantizeBilevelTensor(weight, rows, columns, scheme, { reference: true, name });

    it('chooses the same zero points and scale codes', () => {
      expect(tensor.zero).toEqual(golden.bytes('zero'));
      expect(tensor.scaleCode).toEqual(golden.bytes('scale_code'));
    });

    it('gives the same codes', () => {
      expect(tensor.codes).toEqual(golden.bytes('codes'));
    });

    it('decodes to the same scales and weights', () => {
      expectClose(tensor.step, golden.floats('scale_scale'), 'scale_scale');
      expectClose(tensor.stepZero!, golden.floats('scale_zero'), 'scale_zero');
      expectClose(tensor.scale, golden.floats('scale'), 'scale');
      expectClose(dequantizeBilevel(tensor.codes, tensor), golden.floats('dequantized'), 'dequantized');
    });

    it('passes the same gradient', () => {
      const mask = gradientMask(weight, chooseBilevel(weight, rows, columns, scheme, { reference: true }));
      const gradient = golden.floats('upstream_grad').map((value, i) => value * mask[i]);
      expectClose(gradient, golden.floats('weight_grad'), 'weight_grad');
    });
  } else {
    const tensor = quantizeSymmetric(weight, rows, columns, SYMMETRIC_4BIT, { reference: true, name });

    it('gives the same codes', () => {
      expect(tensor.codes).toEqual(golden.bytes('codes'));
    });

    it('decodes to the same scales and weights', () => {
      expectClose(tensor.scale, golden.floats('scale'), 'scale');
      expectClose(dequantizeSymmetric(tensor), golden.floats('dequantized'), 'dequantized');
    });
  }
});
