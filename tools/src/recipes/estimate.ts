import { packedBytes } from '@speedq/format';
import type { ShardPlan } from '@speedq/format';
import { elementCount } from '@speedq/model';
import type { InternVLConfig, ModelPart, ParameterSpec } from '@speedq/model';
import type { MachineRates } from './machine.ts';
import type { Recipe } from './schema.ts';

/** What a piece of work takes: memory by counting, time by what this machine was measured to do. */
export interface StageEstimate {
  readonly name: string;
  readonly peakBytes: number;
  /** Of matrix products. */
  readonly flops: number;
  readonly seconds: number;
}

/** A question with its answer, beside one tile's visual tokens. */
const TEXT_TOKENS = 64;
const F32 = 4;
/** Of the time of a step that its matrix products would take by themselves: `speedq bench train`. */
const TRAINING_SHARE = 0.55;
/** Adam keeps two moments beside the weight. */
const TRAINED_BYTES = 3 * F32;
/** Intermediate results of one block, in multiples of its input. */
const BLOCK_INTERMEDIATES = 30;

export function estimateStages(
  recipe: Recipe,
  config: InternVLConfig,
  parameters: readonly ParameterSpec[],
  rates: MachineRates,
  /** Of stage 3, where it is not the model itself. */
  teacher?: SizedModel,
): StageEstimate[] {
  const { vision, projector, language, head, patches } = sizesOf({ config, parameters });
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
  const stage3Flops =
    stage3.steps * stage3.batchSize * languageStageWork({ config, parameters }, tokens, teacher).perSequence;
  const activations =
    2 * config.language.numLayers * stage3.batchSize * tokens * config.language.hiddenSize * F32;
  const seconds = (flops: number, updates: number): number =>
    flops / (TRAINING_SHARE * rates.gemm) + updates / rates.adamw;
  return [
    {
      name: 'stage 1',
      peakBytes:
        2 * vision * F32 +
        calibration +
        (vision / config.vision.numLayers) * TRAINED_BYTES +
        block(stage1.batchSize * patches, config.vision.hiddenSize),
      flops: stage1Flops,
      seconds: seconds(stage1Flops, stage1.iterations * vision),
    },
    {
      name: 'stage 2',
      peakBytes: (2 * vision + (seesLanguage ? language + head : 0)) * F32 + projector * TRAINED_BYTES,
      flops: stage2Flops,
      seconds: seconds(stage2Flops, stage2.steps * projector),
    },
    {
      name: 'stage 3',
      peakBytes:
        (vision + language + 2 * head) * F32 +
        (teacher ? parametersOf(teacher) * F32 : 0) +
        (language + projector) * TRAINED_BYTES +
        activations +
        block(stage3.batchSize * tokens, config.language.hiddenSize),
      flops: stage3Flops,
      seconds: seconds(stage3Flops, stage3.steps * (language + projector)),
    },
  ];
}

/** Node with this program in it, and what its collector lets lie. */
const BASE_BYTES = 150 << 20;

/**
 * Rounding to nearest alone: the largest tensor packed, twice while its chunks are joined, the chunk at work and
 * two shards.
 */
export function estimatePacking(plan: ShardPlan, rates: MachineRates): StageEstimate {
  const chunk = 16 << 20;
  const shards = 2 * (32 << 20);
  let largest = 0;
  let seconds = 0;
  for (const [name, { scheme, shape }] of plan.tensors) {
    const packed = packedBytes(scheme, shape, name);
    const own = scheme.kind === 'float' ? packed + elementCount(shape) * F32 : 2 * packed + 4 * chunk;
    largest = Math.max(largest, own);
    if (scheme.kind !== 'float') seconds += elementCount(shape) / rates[scheme.kind];
  }
  return { name: 'rtn', peakBytes: BASE_BYTES + largest + shards, flops: 0, seconds };
}

/** The schedule that the authors of SPEED-Q report for the language model: batches of 64 sequences. */
const PAPER_STEPS = 10_650;
const PAPER_BATCH = 64;
export const PAPER_TOKENS = 512;

export interface ScheduleEstimate {
  readonly steps: number;
  readonly batchSize: number;
  /** Of a sequence, which sees one tile. */
  readonly tokens: number;
  readonly flops: number;
  readonly seconds: number;
  /** On a card that sustains `gpuFlops` in training. */
  readonly gpuSeconds: number;
}

export function estimatePaperSchedule(
  config: InternVLConfig,
  parameters: readonly ParameterSpec[],
  rates: MachineRates,
  gpuFlops: number,
): ScheduleEstimate {
  const { perSequence, trained } = languageStageWork({ config, parameters }, PAPER_TOKENS);
  const flops = PAPER_STEPS * PAPER_BATCH * perSequence;
  return {
    ...{ steps: PAPER_STEPS, batchSize: PAPER_BATCH, tokens: PAPER_TOKENS, flops },
    seconds: flops / (TRAINING_SHARE * rates.gemm) + (PAPER_STEPS * trained) / rates.adamw,
    gpuSeconds: flops / gpuFlops,
  };
}

/** A model whose weights nobody has to read. */
export interface SizedModel {
  readonly config: InternVLConfig;
  readonly parameters: readonly ParameterSpec[];
}

function parametersOf({ parameters }: SizedModel, part?: ModelPart): number {
  const wanted = parameters.filter((spec) => part === undefined || spec.part === part);
  return wanted.reduce((sum, { shape }) => sum + elementCount(shape), 0);
}

/** Weights of the parts, and tokens of a tile inside the encoder. */
function sizesOf(model: SizedModel) {
  const { imageSize, patchSize } = model.config.vision;
  const of = (part: ModelPart) => parametersOf(model, part);
  return {
    ...{ vision: of('vision'), projector: of('projector'), language: of('language'), head: of('head') },
    patches: 1 + (imageSize / patchSize) ** 2,
  };
}

/** Operations of one sequence in stage 3, picture included, and the parameters that an update changes. */
function languageStageWork(
  student: SizedModel,
  tokens: number,
  teacher = student,
): { readonly perSequence: number; readonly trained: number } {
  const [own, theirs] = [sizesOf(student), sizesOf(teacher)];
  const [tile, tileOfTeacher] = [student.config.tokensPerTile, teacher.config.tokensPerTile];
  const answers = Math.max(0, tokens - tile);
  // Forward 2: encoders and the teacher behind its own. The student forward 2, recomputation 2, backward 4; the head,
  // which is frozen, on the answers alone.
  const perSequence =
    2 * (own.vision * own.patches + theirs.vision * theirs.patches) +
    2 * (theirs.language * (tokens - tile + tileOfTeacher) + theirs.projector * tileOfTeacher) +
    8 * (own.language * tokens + own.projector * tile) +
    (6 * own.head + 2 * theirs.head) * answers;
  return { perSequence, trained: own.language + own.projector };
}
