import { describe, expect, test } from 'vitest';
import type { InternVLConfig } from './config.ts';
import { elementCount, parameterInventory } from './inventory.ts';
import type { ParameterSpec } from './inventory.ts';

const vision = {
  hiddenSize: 1024,
  numLayers: 24,
  numHeads: 16,
  intermediateSize: 4096,
  imageSize: 448,
  patchSize: 14,
  layerNormEps: 1e-6,
};
const shared = {
  numKeyValueHeads: 2,
  vocabSize: 151674,
  rmsNormEps: 1e-6,
  ropeTheta: 1e6,
  maxPositionEmbeddings: 32768,
};
const rest = { layout: 'huggingface', tokensPerTile: 256, imageTokenId: 151667, mayTieHead: false } as const;
const internVL3of1B: InternVLConfig = {
  ...rest,
  vision,
  language: {
    ...shared,
    hiddenSize: 896,
    numLayers: 24,
    numHeads: 14,
    headDim: 64,
    intermediateSize: 4864,
  },
};
const internVL3of2B: InternVLConfig = {
  ...rest,
  vision,
  language: {
    ...shared,
    hiddenSize: 1536,
    numLayers: 28,
    numHeads: 12,
    headDim: 128,
    intermediateSize: 8960,
  },
};

function total(parameters: readonly ParameterSpec[]): number {
  return parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0);
}

/** Counts of the reference implementation, instantiated without weights. */
describe.each([
  { name: '1B', config: internVL3of1B, tensors: 733, all: 938_193_024, projector: 4_482_816 },
  { name: '2B', config: internVL3of2B, tensors: 781, all: 2_088_957_440, projector: 8_662_016 },
])('InternVL3-$name', ({ name, config, tensors, all, projector }) => {
  const inventory = parameterInventory(config);
  const part = (name: ParameterSpec['part']) => inventory.filter((parameter) => parameter.part === name);

  test('tensors and parameters', () => {
    expect(inventory.length).toBe(tensors);
    expect(new Set(inventory.map(({ name }) => name)).size).toBe(tensors);
    expect(total(inventory)).toBe(all);
    expect(total(part('vision'))).toBe(304_012_288);
    expect(total(part('projector'))).toBe(projector);
    expect(total(part('embedding'))).toBe(name === '1B' ? 135_899_904 : 232_971_264);
    expect(total(part('head'))).toBe(name === '1B' ? 135_899_904 : 232_971_264);
    expect(total(part('language'))).toBe(name === '1B' ? 357_898_112 : 1_310_340_608);
  });

  test('layers and matrices', () => {
    const first = part('language').filter(({ layer }) => layer === 0);
    expect(total(first)).toBe(name === '1B' ? 14_912_384 : 46_797_824);
    expect(total(part('vision').filter(({ layer }) => layer === 23))).toBe(12_598_272);
    expect(total(part('vision').filter(({ layer }) => layer === undefined))).toBe(1_653_760);
    const linear = (name: ParameterSpec['part']) => total(part(name).filter(({ role }) => role === 'linear'));
    expect(linear('language')).toBe(name === '1B' ? 357_826_560 : 1_310_195_712);
    expect(linear('vision')).toBe(301_989_888);
  });
});
