import { namedScheme } from '@speedq/format';
import type { BilevelName, SymmetricName } from '@speedq/format';
import * as v from 'valibot';

/**
 * How a model is to be quantized: which scheme each part is stored in, and how each stage trains. A recipe is
 * data; everything it may say is written here, and what it does not know it refuses.
 */

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const atLeastOne = v.pipe(v.number(), v.integer(), v.minValue(1));
const positive = v.pipe(v.number(), v.gtValue(0));
const fraction = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const momentum = v.pipe(v.number(), v.minValue(0), v.ltValue(1));

/** 'float': fp16 where every value fits, else float32 (docs/format.md). */
const FLOAT = 'float';
export type RecipeTableScheme = SymmetricName | typeof FLOAT;
export type RecipeScheme = BilevelName | RecipeTableScheme;
const named = (kinds: readonly string[]) => (name: unknown) =>
  name === FLOAT || (typeof name === 'string' && kinds.includes(namedScheme(name, 1)?.kind ?? ''));
const scheme = v.custom<RecipeScheme>(
  named(['bilevel', 'symmetric']),
  ({ input }) => `${JSON.stringify(input)} is no scheme such as 2bit-g16, 3bit-row, 4bit-g32-min or float`,
);
/** Tables have any number of rows, which leaves no second level. */
const tableScheme = v.custom<RecipeTableScheme>(
  named(['symmetric']),
  ({ input }) =>
    `${JSON.stringify(input)} is no scheme of tables such as 3bit-symmetric, 2bit-symmetric-g64 or float`,
);

const schemes = v.strictObject({
  /** Linear weights of the vision encoder. The patch embedding always stays float. */
  vision: scheme,
  projector: scheme,
  /** Linear weights of the language model. */
  language: scheme,
  embedding: tableScheme,
  head: tableScheme,
  /**
   * Exceptions: the end of a module's name, such as "gate_proj" or "layers.0.mlp.down_proj" → scheme. Later
   * ones win.
   */
  modules: v.record(v.string(), scheme),
});

/** Block-wise AdaRound of the vision encoder, on pictures alone. */
const stage1 = v.strictObject({
  /** Updates per transformer block. */
  iterations: count,
  /** Pictures per update. */
  batchSize: atLeastOne,
  learningRate: positive,
  /** Weight λ of the rounding regulariser. */
  lambda: v.pipe(v.number(), v.minValue(0)),
  /** Exponent β of the regulariser falls linearly from start to end. */
  betaStart: positive,
  betaEnd: positive,
  /** Share of the iterations before the regulariser acts. */
  warmFraction: fraction,
  calibrationImages: atLeastOne,
  /** Share of a block's input elements that come from the float model rather than the quantized prefix. */
  floatInputShare: fraction,
  /** Calibration tokens of the search for clipping ranges before rounding; 0 keeps the full ranges. */
  clipSearchTokens: count,
});

/** The projector alone, behind the quantized vision encoder. */
const stage2 = v.strictObject({
  steps: count,
  batchSize: atLeastOne,
  learningRate: positive,
  weightDecay: v.pipe(v.number(), v.minValue(0)),
  warmupRatio: fraction,
  /** Match the float projector's output, or the answers. */
  objective: v.picklist(['features', 'cross-entropy']),
});

/** Quantization-aware training of the language model and projector with the float model as teacher. */
const stage3 = v.strictObject({
  steps: count,
  batchSize: atLeastOne,
  /** Sequences that go through the model at a time: an update sums the gradients of its batch over them. */
  microBatch: atLeastOne,
  /**
   * Tokens of a sequence that several conversations of a batch are packed into, each seeing itself alone; such
   * sequences go through the model one at a time. 0: a sequence for each conversation, padded to those of like
   * length that share its batch.
   */
  packing: v.pipe(count, v.maxValue(8192)),
  learningRate: positive,
  beta1: momentum,
  beta2: momentum,
  epsilon: positive,
  weightDecay: v.pipe(v.number(), v.minValue(0)),
  /** Share of the steps over which the learning rate rises; then it falls as a cosine to zero. */
  warmupRatio: fraction,
  /** Gradient norm to clip at; 0 for none. */
  clipNorm: v.pipe(v.number(), v.minValue(0)),
  /**
   * Balance γ of KL(student‖teacher) and KL(teacher‖student): measured as the teacher's mean top-1
   * probability, at each token that probability itself, or given.
   */
  gamma: v.union([v.picklist(['measured', 'per-token']), fraction]),
  /** Batches over which γ is measured. */
  gammaBatches: atLeastOne,
  distillationWeight: v.pipe(v.number(), v.minValue(0)),
  crossEntropyWeight: v.pipe(v.number(), v.minValue(0)),
  labelSmoothing: momentum,
  /** Calibration tokens of the search for clipping ranges; 0 starts from the full ranges. */
  clipSearchTokens: count,
  /**
   * Scales and zero points are trained too (LSQ, arXiv 1902.08153), from what the weights have, instead of being
   * taken from the weights' extremes in every step.
   */
  learnedScales: v.boolean(),
  /** Their learning rate, as a share of the weights'. */
  scaleRate: positive,
});

/** How records become conversations. */
const data = v.pipe(
  v.strictObject({
    /** Frames of a video that are seen, one tile each: a number drawn between these, or all where there are fewer. */
    minFrames: atLeastOne,
    maxFrames: atLeastOne,
  }),
  v.check(
    ({ minFrames, maxFrames }) => minFrames <= maxFrames,
    ({ input }) => `minFrames is ${input.minFrames}, more than maxFrames, ${input.maxFrames}`,
  ),
);

/** What the methods that go block by block calibrate on, beside the pictures of stage 1. */
const calibration = v.strictObject({
  /** Conversations that go through the language model. */
  conversations: atLeastOne,
});

/** GPTQ (arXiv 2210.17323) with bilevel scales. */
const gptq = v.strictObject({
  /** Added to the diagonal of XᵀX, as a share of its mean. */
  damping: positive,
  /** Columns in the order of falling activation energy; scales are then chosen beforehand. */
  actOrder: v.boolean(),
  /** Choose a group's scales when its turn comes, from the weights corrected so far. */
  refreshScales: v.boolean(),
  /** Search clipping ranges for the scales. */
  clipSearch: v.boolean(),
});

/** AWQ (arXiv 2306.00978): input channels scaled by their activations' size to a searched power. */
const awq = v.strictObject({
  /** Powers tried, from 0 to below 1. */
  gridSteps: atLeastOne,
  /** Search clipping ranges for the scaled weights. */
  clipSearch: v.boolean(),
});

/** Weights, scales and zero points of a block learned together. */
const blockwise = v.strictObject({
  /** Updates per block. */
  iterations: count,
  /** Tiles or conversations per update. */
  batchSize: atLeastOne,
  /** Of weights and of scales, in units of the mean scale; of zero points, in codes. They fall as a cosine. */
  learningRate: positive,
  scaleLearningRate: positive,
  zeroLearningRate: positive,
  /** Share of a block's input elements that come from the float model rather than the quantized prefix. */
  floatInputShare: fraction,
});

/** Each flaw of the reference implementation that is mended by default; false brings the flaw back. */
const fixes = v.strictObject({
  /** Distil the logits that predict answer tokens, the first one included. */
  shiftDistillationMask: v.boolean(),
  /** Distillation is a mean over tokens, as cross-entropy is. */
  averageDistillation: v.boolean(),
  /** γ is measured over answer tokens only. */
  gammaOverAnswers: v.boolean(),
  /** Embedding and head are quantized once, by an idempotent scheme. */
  quantizeTablesOnce: v.boolean(),
  /** No drop-path in the frozen vision encoder. */
  noDropPath: v.boolean(),
  /** The search for clipping ranges covers q and k and scores the quantizer that is trained. */
  searchTrainedQuantizer: v.boolean(),
  /** fp16 steps and minima, equal scales and one-sided groups exact (docs/format.md). */
  storedArithmetic: v.boolean(),
});

export const recipeSchema = v.strictObject({
  name: v.pipe(v.string(), v.nonEmpty()),
  schemes,
  data,
  stage1,
  stage2,
  stage3,
  calibration,
  gptq,
  awq,
  blockwise,
  fixes,
});

export type Recipe = v.InferOutput<typeof recipeSchema>;
export type RecipeFixes = Recipe['fixes'];
