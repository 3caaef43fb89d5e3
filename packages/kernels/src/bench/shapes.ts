import type { InternVLConfig } from '@speedq/model';

/** InternVL3-1B as released. */
export const INTERNVL3_1B: InternVLConfig = {
  layout: 'huggingface',
  vision: {
    hiddenSize: 1024,
    numLayers: 24,
    numHeads: 16,
    intermediateSize: 4096,
    imageSize: 448,
    patchSize: 14,
    layerNormEps: 1e-6,
  },
  language: {
    hiddenSize: 896,
    numLayers: 24,
    numHeads: 14,
    numKeyValueHeads: 2,
    headDim: 64,
    intermediateSize: 4864,
    vocabSize: 151_674,
    rmsNormEps: 1e-6,
    ropeTheta: 1e6,
    maxPositionEmbeddings: 32_768,
  },
  tokensPerTile: 256,
  imageTokenId: 151_667,
  mayTieHead: false,
};

/** InternVL3-2B: the same encoder, a larger language model. */
export const INTERNVL3_2B: InternVLConfig = {
  ...INTERNVL3_1B,
  language: {
    ...INTERNVL3_1B.language,
    hiddenSize: 1536,
    numLayers: 28,
    numHeads: 12,
    headDim: 128,
    intermediateSize: 8960,
  },
};
