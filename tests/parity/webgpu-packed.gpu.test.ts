import {
  BILEVEL_2BIT_G128,
  BILEVEL_2BIT_G16,
  BILEVEL_4BIT_G32,
  BILEVEL_4BIT_G32_QQ16,
  namedScheme,
} from '@speedq/format';
import type { Scheme, SchemeName } from '@speedq/format';
import { createWebGPUModel, floatWeights } from '@speedq/kernels';
import type { WebGPUModel } from '@speedq/kernels';
import { requestTestDevice } from '@speedq/kernels/node';
import {
  TINY_CONFIG,
  packParameters,
  packedSource,
  randomFloats,
  randomParameters,
  unpackParameters,
} from '@speedq/kernels/testing';
import type { ParameterSpec } from '@speedq/model';
import { EMBEDDING, HEAD } from '@speedq/model';
import { describe, expect, it } from 'vitest';

/**
 * Kernels that read packed weights against the float32 ones (which the goldens hold to the reference) on the
 * same weights dequantized by the format's own code.
 */
const gpu = await requestTestDevice();
const config = TINY_CONFIG;

const RECIPES: Record<string, (parameter: ParameterSpec) => Scheme | undefined> = {
  '2 bits, group 16': recipe(BILEVEL_2BIT_G16),
  '4 bits, group 32': recipe(BILEVEL_4BIT_G32),
  '2 bits with minima, tables at 3 bits': recipe('2bit-g16-min', '3bit-symmetric'),
  '3 bits, tables at 2 bits': recipe('3bit-g16', '2bit-symmetric-g64'),
  '3 bits with minima, a group a row, tables at 4 bits in groups of 64': recipe(
    '3bit-row-min',
    '4bit-symmetric-g64',
  ),
  // Gate and up, and q, k and v, are then computed apart.
  'mixed: 2 bits, group 128 for gate and k, 4 bits in panels of 16 for the rest': (parameter) =>
    recipe(/gate_proj|k_proj/.test(parameter.name) ? BILEVEL_2BIT_G128 : BILEVEL_4BIT_G32_QQ16)(parameter),
};

/** Linears of encoder and language model in `scheme`, embedding and head in `tables`, the rest as it comes. */
function recipe(scheme: Scheme | SchemeName, tables: SchemeName = '4bit-symmetric') {
  return ({ part, role, shape }: ParameterSpec): Scheme | undefined => {
    if (part === 'embedding' || part === 'head') return namedScheme(tables, shape[1]);
    if (role !== 'linear' || part === 'projector') return undefined;
    return typeof scheme === 'string' ? namedScheme(scheme, shape[1]) : scheme;
  };
}

async function answer(model: WebGPUModel) {
  const tiles = 3;
  const features = await model.encodeImages(randomFloats(tiles * 3 * 56 * 56, 77, 2), tiles);
  const text = Array.from(randomFloats(20, 78), (v) => Math.floor((v + 1) * 150));
  const image = Array.from({ length: features.tokens }, () => config.imageTokenId);
  const first = await model.prefill(Uint32Array.from([...text.slice(0, 9), ...image, ...text.slice(9)]), [
    features,
  ]);
  const logits = await model.readAllLogits();
  const ids = [first, ...(await model.decode(5))];
  const decodedLogits = await model.readLogits();
  return { features: await features.read(), logits, ids, decodedLogits };
}

function worst(actual: Float32Array, expected: Float32Array): number {
  expect(actual.length).toBe(expected.length);
  return actual.reduce(
    (most, v, i) => (Math.abs(v - expected[i]) <= most ? most : Math.abs(v - expected[i])),
    0,
  );
}

describe.skipIf(gpu === null)('packed weights on WebGPU', () => {
  it.each(Object.keys(RECIPES))(
    '%s: features, logits and ids equal those of the dequantized weights',
    async (name) => {
      const packed = packParameters(config, randomParameters(config, 1), RECIPES[name]);
      const dequantized = unpackParameters(packed);
      const options = { maxContext: 64, prefillChunk: 40, allLogits: true };
      const splits = { [EMBEDDING]: [112, 191], [HEAD]: [32, 256, 15] };
      const model = await createWebGPUModel(gpu!.device, config, packedSource(packed, splits), options);
      const actual = await answer(model);
      model.destroy();
      const floats = floatWeights(config, (parameter) => dequantized.get(parameter));
      const reference = await createWebGPUModel(gpu!.device, config, floats, options);
      const expected = await answer(reference);
      reference.destroy();

      expect(worst(expected.logits, new Float32Array(expected.logits.length))).toBeGreaterThan(0.5);
      expect(worst(actual.features, expected.features)).toBeLessThan(1e-3);
      expect(worst(actual.logits, expected.logits)).toBeLessThan(1e-3);
      expect(actual.ids).toEqual(expected.ids);
      expect(worst(actual.decodedLogits, expected.decodedLogits)).toBeLessThan(1e-3);
    },
  );
});
