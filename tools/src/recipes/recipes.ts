import type { Recipe, RecipeFixes } from './schema.ts';

/** The recipes that have names. */

const ALL_FIXES: RecipeFixes = {
  shiftDistillationMask: true,
  averageDistillation: true,
  gammaOverAnswers: true,
  quantizeTablesOnce: true,
  noDropPath: true,
  searchTrainedQuantizer: true,
  storedArithmetic: true,
};

const twoBit: Recipe = {
  name: '2bit',
  schemes: {
    vision: '2bit-g16',
    projector: 'float',
    language: '2bit-g16',
    embedding: '4bit-symmetric',
    head: '4bit-symmetric',
    modules: {},
  },
  // InternVL's training draws up to 32 in sequences of twice the length; so many leave room for a conversation here.
  data: { minFrames: 8, maxFrames: 28 },
  stage1: {
    iterations: 300,
    batchSize: 8,
    // The 1e-3 of 20,000 iterations leaves most weights undecided after so few.
    learningRate: 0.03,
    lambda: 0.01,
    betaStart: 20,
    betaEnd: 2,
    warmFraction: 0.2,
    calibrationImages: 256,
    floatInputShare: 0.5,
    clipSearchTokens: 512,
  },
  stage2: {
    steps: 200,
    batchSize: 16,
    learningRate: 1e-4,
    weightDecay: 0.01,
    warmupRatio: 0.03,
    objective: 'features',
  },
  stage3: {
    steps: 800,
    batchSize: 16,
    microBatch: 16,
    packing: 0,
    // Where weights sit between two codes, a higher rate makes them flip faster than the loss can use it: with
    // 2e-4 and 6e-4 the divergence from the teacher first rose threefold and ended higher than with 5e-5.
    learningRate: 5e-5,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0.01,
    warmupRatio: 0.03,
    clipNorm: 1,
    gamma: 'measured',
    gammaBatches: 20,
    distillationWeight: 1,
    // The labels say nothing that the teacher does not say better; with them the student went on learning
    // its task and ended further from the teacher than rounding to nearest does.
    crossEntropyWeight: 0,
    labelSmoothing: 0,
    clipSearchTokens: 512,
    learnedScales: false,
    scaleRate: 0.2,
  },
  calibration: { conversations: 256 },
  gptq: { damping: 0.01, actOrder: false, refreshScales: true, clipSearch: true },
  awq: { gridSteps: 20, clipSearch: true },
  blockwise: {
    iterations: 300,
    batchSize: 8,
    learningRate: 0.01,
    scaleLearningRate: 0.003,
    zeroLearningRate: 0.01,
    floatInputShare: 0.5,
  },
  fixes: ALL_FIXES,
};

const twoBitG128: Recipe = {
  ...twoBit,
  name: '2bit-g128',
  schemes: { ...twoBit.schemes, vision: '2bit-g128', language: '2bit-g128' },
};

const fourBit: Recipe = {
  ...twoBit,
  name: '4bit',
  schemes: { ...twoBit.schemes, vision: '4bit-g32', language: '4bit-g32' },
  stage1: { ...twoBit.stage1, iterations: 150, learningRate: 1e-3 },
  stage3: { ...twoBit.stage3, steps: 150, learningRate: 3e-5 },
};

/** Scale groups of 16 rows: for models whose row counts are no multiples of 128. */
const fourBitQq16: Recipe = {
  ...fourBit,
  name: '4bit-qq16',
  schemes: { ...fourBit.schemes, vision: '4bit-g32-qq16', language: '4bit-g32-qq16' },
};

/** Codes that begin at a minimum of their own, not at an integer zero point: no end of a group is clipped. */
const twoBitMin: Recipe = {
  ...twoBit,
  name: '2bit-min',
  schemes: { ...twoBit.schemes, vision: '2bit-g16-min', language: '2bit-g16-min' },
};

const threeBit: Recipe = {
  ...twoBit,
  name: '3bit',
  schemes: { ...twoBit.schemes, vision: '3bit-g16', language: '3bit-g16' },
  stage3: { ...twoBit.stage3, learningRate: 1e-4 },
};

/** The shape of InternVL3-1B in 315 MiB, tables, projector and tokenizer included. */
const small: Recipe = {
  ...twoBitMin,
  name: 'small',
  schemes: {
    vision: '2bit-g32-min',
    projector: '4bit-g32-qq16',
    language: '2bit-g16-min',
    embedding: '3bit-symmetric-g64',
    head: '3bit-symmetric-g64',
    modules: { gate_proj: '2bit-g32-min', up_proj: '2bit-g32-min' },
  },
};

/** Half the language model's weights, those that bear it best, at 2 bits. */
const mixed: Recipe = {
  ...twoBit,
  name: 'mixed',
  schemes: {
    ...twoBit.schemes,
    vision: '4bit-g32-qq16',
    language: '4bit-g32-qq16',
    modules: { gate_proj: '2bit-g16', up_proj: '2bit-g16' },
  },
};

/** Every stage at 2 bits, in under a minute on the embedded model: for tests and first impressions. */
const quick: Recipe = {
  ...twoBit,
  name: 'quick',
  stage1: { ...twoBit.stage1, iterations: 20, batchSize: 4, calibrationImages: 16 },
  stage2: { ...twoBit.stage2, steps: 10, batchSize: 4 },
  stage3: { ...twoBit.stage3, steps: 20, batchSize: 4, gammaBatches: 2, clipSearchTokens: 256 },
  calibration: { conversations: 16 },
  blockwise: { ...twoBit.blockwise, iterations: 20, batchSize: 4 },
};

export const RECIPES: Readonly<Record<string, Recipe>> = Object.fromEntries(
  [twoBit, twoBitG128, twoBitMin, threeBit, fourBit, fourBitQq16, mixed, small, quick].map((recipe) => [
    recipe.name,
    recipe,
  ]),
);

/** From weights that blocks have settled; at the whole rate the divergence rises again (docs/quantization.md). */
const RATE_AFTER_BLOCKS = 0.4;

/**
 * The same recipe for --method best: blocks learned one by one, then the language model end to end from what they
 * became, scales and zero points included; its clipping ranges are not searched again.
 */
export function asBest(recipe: Recipe): Recipe {
  const { stage3 } = recipe;
  const learningRate = stage3.learningRate * RATE_AFTER_BLOCKS;
  return { ...recipe, stage3: { ...stage3, learningRate, learnedScales: true, clipSearchTokens: 0 } };
}

/** The same recipe for the language model, its tables included; encoder and projector stay float. */
export function languageOnly(recipe: Recipe): Recipe {
  return { ...recipe, schemes: { ...recipe.schemes, vision: 'float', projector: 'float' } };
}

/** The same recipe with the reference implementation's flaws, its cross-entropy projector stage and its cross-entropy beside the teacher. */
export function asReference(recipe: Recipe): Recipe {
  const flaws = Object.fromEntries(Object.keys(ALL_FIXES).map((fix) => [fix, false]));
  return {
    ...recipe,
    stage1: { ...recipe.stage1, clipSearchTokens: 0 },
    stage2: { ...recipe.stage2, objective: 'cross-entropy' },
    stage3: {
      ...recipe.stage3,
      crossEntropyWeight: 1,
      labelSmoothing: 0.1,
      learnedScales: false,
      packing: 0,
    },
    fixes: flaws as unknown as RecipeFixes,
  };
}
