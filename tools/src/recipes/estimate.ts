import { packedBytes } from '@speedq/format';
import type { ShardPlan } from '@speedq/format';
import { elementCount } from '@speedq/model';
import type { InternVLConfig, ModelPart, ParameterSpec } from '@speedq/model';
import type { Recipe } from './schema.ts';

/**
 * Rough figures for planning, from counting: they are meant to tell an hour from a week and 2 GB from 20, not
 * to be compared with a clock.
 */
export interface StageEstimate {
  readonly name: string;
  readonly peakBytes: number;
  readonly flops: number;
}

/** A question with its answer, beside one tile's visual tokens. */
const TEXT_TOKENS = 64;
const F32 = 4;
/** Adam keeps two moments beside the weight. */
const TRAINED_BYTES = 3 * F32;
/** Intermediate results of one block, in multiples of its input. */
const BLOCK_INTERMEDIATES = 30;

export function estimateStages(
  recipe: Recipe,
  config: InternVLConfig,
  parameters: readonly ParameterSpec[],
): StageEstimate[] {
  const count = (part: ModelPart) =>
    parameters.reduce((sum, spec) => (spec.part === part ? sum + elementCount(spec.shape) : sum), 0);
  const [vision, projector, language, head] = (['vision', 'projector', 'language', 'head'] as const).map(
    count,
  );
  const patches = 1 + (config.vision.imageSize / config.vision.patchSize) ** 2;
  const tokens = config.tokensPerTile + TEXT_TOKENS;
  const { stage1, stage2, stage3 } = recipe;

  // Block inputs of all calibration pictures, in the float and the quantized model.
  const calibration = 2 * stage1.calibrationImages * patches * config.vision.hiddenSize * F32;
  const block = (rows: number, width: number) => rows * width * F32 * BLOCK_INTERMEDIATES;
  // Forward 2, backward 4 operations per weight and token; a block is trained against stored outputs.
  const stage1Flops = stage1.iterations * stage1.batchSize * patches * 6 * vision;
  const seesLanguage = stage2.objective === 'cross-entropy';
  const stage2Flops =
    stage2.steps *
    stage2.batchSize *
    (2 * vision * patches +
      6 * projector * config.tokensPerTile +
      (seesLanguage ? 4 * language * tokens : 0));
  // Teacher 2, student 2, recomputation 2, backward 4.
  const stage3Flops =
    stage3.steps *
    stage3.batchSize *
    (2 * vision * patches + 10 * (language + head) * tokens + 10 * projector * config.tokensPerTile);
  const activations =
    2 * config.language.numLayers * stage3.batchSize * tokens * config.language.hiddenSize * F32;
  return [
    {
      name: 'stage 1',
      peakBytes:
        2 * vision * F32 +
        calibration +
        (vision / config.vision.numLayers) * TRAINED_BYTES +
        block(stage1.batchSize * patches, config.vision.hiddenSize),
      flops: stage1Flops,
    },
    {
      name: 'stage 2',
      peakBytes: (2 * vision + (seesLanguage ? language + head : 0)) * F32 + projector * TRAINED_BYTES,
      flops: stage2Flops,
    },
    {
      name: 'stage 3',
      peakBytes:
        (vision + language + 2 * head) * F32 +
        (language + projector) * TRAINED_BYTES +
        activations +
        block(stage3.batchSize * tokens, config.language.hiddenSize),
      flops: stage3Flops,
    },
  ];
}

/** Peak of packing alone: the largest tensor, once as floats in pieces and once packed, and two shards. */
export function packingPeakBytes(plan: ShardPlan): number {
  const chunk = 16 << 20;
  const shards = 2 * (32 << 20);
  let largest = 0;
  for (const [name, { scheme, shape }] of plan.tensors) {
    const floats = scheme.kind === 'float' ? elementCount(shape) * F32 : 4 * chunk;
    largest = Math.max(largest, packedBytes(scheme, shape, name) + floats);
  }
  return largest + shards;
}
