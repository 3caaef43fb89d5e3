import { packedBytes, schemeName } from '@speedq/format';
import type { ShardPlan } from '@speedq/format';
import { elementCount } from '@speedq/model';
import type { ParameterSpec } from '@speedq/model';
import type { BlockMethodName, Method } from '../quantize/methods/names.ts';
import { estimateBlocks } from './estimate-blocks.ts';
import {
  BASE_BYTES,
  BLOCK_INTERMEDIATES,
  F32,
  SESSION_SECONDS,
  START_SECONDS,
  STORE_BYTES,
  TRAINING_SHARE,
  stage,
} from './estimate-stage.ts';
import type { EstimateContext, StageEstimate } from './estimate-stage.ts';
import type { MachineRates } from './machine.ts';
import { languageOnly } from './recipes.ts';
import { measureSizes } from './workload.ts';

export interface MethodEstimate extends StageEstimate {
  readonly name: Method;
  readonly stages: readonly StageEstimate[];
}

/** All that `quantize` does by a method other than `rtn`. */
export function estimateMethod(context: EstimateContext, method: Exclude<Method, 'rtn'>): MethodEstimate {
  const { stage1, calibration } = context.recipe;
  const blocks = (by: BlockMethodName, kind: 'vision' | 'projector' | 'language') =>
    estimateBlocks(
      context,
      context.sizes[kind],
      by,
      kind === 'language'
        ? Math.min(calibration.conversations, context.workload.conversations)
        : Math.min(stage1.calibrationImages, context.workload.tiles),
    );
  const trained: readonly (StageEstimate | undefined)[] =
    method === 'speedq'
      ? [named('stage 1', blocks('adaround', 'vision')), projectorStage(context), languageStage(context)]
      : method === 'best'
        ? [
            named('stage 1', blocks('blockwise', 'vision')),
            projectorStage(context),
            named('blocks of stage 3', blocks('blockwise', 'language')),
            languageStage(context),
          ]
        : [blocks(method, 'vision'), blocks(method, 'projector'), blocks(method, 'language')];
  const stages = [preparing(context), ...trained.filter((one) => one !== undefined), measuring(context)];
  return { ...total(method, stages), name: method, stages };
}

function named(name: string, found: StageEstimate | undefined): StageEstimate | undefined {
  return found && { ...found, name };
}

function total(name: string, stages: readonly StageEstimate[]): StageEstimate {
  const sum = (of: (stage: StageEstimate) => number) => stages.reduce((all, one) => all + of(one), 0);
  return {
    name,
    peakBytes: Math.max(...stages.map(({ peakBytes }) => peakBytes)),
    flops: sum(({ flops }) => flops),
    seconds: sum(({ seconds }) => seconds),
    processorSeconds: sum(({ processorSeconds }) => processorSeconds),
  };
}

/** Hashing, reading and rounding what is stored symmetrically; writing the checkpoint and the packed folder. */
function preparing(context: EstimateContext): StageEstimate {
  const { sizes, rates } = context;
  const tables = sizes.count.embedding + sizes.count.head;
  const serial = (3 * sizes.total) / rates.adamw + tables / rates.symmetric + 2 * START_SECONDS;
  return stage(context, 'reading and packing', { flops: 0, serial }, 3 * sizes.largest * F32);
}

type Read = Pick<EstimateContext, 'sizes' | 'workload'>;

/** Operations of a conversation through the language model, and of its answers through the head. */
const languageForward = ({ sizes, workload }: Read): number =>
  sizes.language.blocks * sizes.language.forward +
  sizes.projector.forward +
  2 * sizes.count.head * workload.answers;

const encoderForward = ({ sizes }: Pick<Read, 'sizes'>): number => sizes.vision.blocks * sizes.vision.forward;

/** Who teaches stage 3, with as many visual tokens as it has. */
function teaching(context: EstimateContext): Read {
  const { teacher, workload, config, recipe } = context;
  if (teacher === undefined) return context;
  const tokens = workload.tokens - config.tokensPerTile + teacher.config.tokensPerTile;
  const { schemes } = languageOnly(recipe);
  const float = { ...schemes, language: 'float', embedding: 'float', head: 'float', modules: {} } as const;
  const sizes = measureSizes({ ...recipe, schemes: float }, teacher.config, teacher.parameters, tokens);
  return { sizes, workload: { ...workload, tokens } };
}

/** The distance to the float model, conversation by conversation. */
function measuring(context: EstimateContext): StageEstimate {
  const { sizes, workload, config } = context;
  const { heldOut } = workload;
  const pictures = Math.min(heldOut, workload.tiles);
  const flops = 2 * (heldOut * languageForward(context) + pictures * encoderForward(context));
  // Parameters that do not fit into memory are read again in each run.
  const read = sizes.total * F32 > STORE_BYTES ? 2 * heldOut * (sizes.count.language + sizes.count.head) : 0;
  const logits = 2 * workload.answers * config.language.vocabSize * F32;
  return stage(
    context,
    'measuring the result',
    { flops, serial: read / context.rates.adamw + 6 * SESSION_SECONDS },
    Math.max(sizes.count.vision, sizes.count.head) * F32 + logits,
  );
}

function projectorStage(context: EstimateContext): StageEstimate | undefined {
  const { recipe, sizes, workload, rates } = context;
  const { steps, batchSize, objective } = recipe.stage2;
  const answers = objective === 'cross-entropy';
  if (steps === 0 || (!answers && sizes.vision.quantized.length === 0)) return undefined;
  const seen = Math.min(workload.tiles, steps * batchSize);
  const encoder = (answers ? 1 : 2) * seen * encoderForward(context);
  const update = batchSize * (answers ? 4 * languageForward(context) : 4 * sizes.projector.forward);
  const frozen = answers ? sizes.count.language + sizes.count.head : 0;
  return stage(
    context,
    'stage 2',
    {
      flops: encoder + (steps * update) / TRAINING_SHARE,
      serial: (steps * sizes.count.projector) / rates.adamw + SESSION_SECONDS,
    },
    (sizes.count.vision + frozen + 4 * sizes.count.projector) * F32,
  );
}

function languageStage(context: EstimateContext): StageEstimate | undefined {
  const { recipe, sizes, workload, rates, config } = context;
  const { steps, batchSize, microBatch, distillationWeight } = recipe.stage3;
  if (steps === 0) return undefined;
  const teacher = teaching(context);
  const seen = Math.min(workload.conversations, steps * batchSize);
  const pictures = Math.min(seen, workload.tiles);
  const trained = sizes.count.language + sizes.count.projector;
  const searched = recipe.stage3.clipSearchTokens > 0 ? searchSeconds(context) : 0;
  const across = Math.min(microBatch, batchSize);
  const activations =
    across *
    workload.tokens *
    config.language.hiddenSize *
    F32 *
    (2 * config.language.numLayers + BLOCK_INTERMEDIATES);
  const distils = distillationWeight > 0;
  return stage(
    context,
    'stage 3',
    {
      flops:
        (steps * batchSize * sequenceWork(context)) / TRAINING_SHARE +
        pictures * encoderForward(context) +
        (distils ? seen * languageForward(teacher) + pictures * encoderForward(teacher) : 0),
      serial: (steps * trained) / rates.adamw + searched + SESSION_SECONDS,
    },
    // Weights, two moments and gradients never leave memory; an encoder runs whole.
    (4 * trained + Math.max(sizes.count.vision, teacher.sizes.count.vision) + sizes.count.head) * F32 +
      (context.teacher ? Math.min(STORE_BYTES, teacher.sizes.total * F32) : 0) +
      activations,
  );
}

/** Of a sequence at each use: forward, again and backward; the head, which is frozen, on answers alone. */
function sequenceWork({ sizes, workload }: Read): number {
  const head = 2 * sizes.count.head * workload.answers;
  return 4 * (languageForward({ sizes, workload }) - head) + 3 * head;
}

/** Clipping ranges of all the language model's weights. */
function searchSeconds({ sizes, rates }: EstimateContext): number {
  const { blocks, quantized } = sizes.language;
  return quantized.reduce(
    (sum, { rows, columns, scheme }) =>
      sum + (blocks * rows * columns) / rates.schemes[schemeName(scheme)].searched,
    0,
  );
}

/**
 * Rounding to nearest alone: the largest tensor packed, twice while its chunks are joined, the chunk at work and
 * two shards.
 */
export function estimatePacking(plan: ShardPlan, rates: MachineRates): MethodEstimate {
  const chunk = 16 << 20;
  const shards = 2 * (32 << 20);
  let largest = 0;
  let seconds = START_SECONDS;
  for (const [name, { scheme, shape }] of plan.tensors) {
    const packed = packedBytes(scheme, shape, name);
    const own =
      scheme.kind === 'float'
        ? packed + elementCount(shape) * F32
        : 2 * packed + 4 * Math.min(chunk, elementCount(shape) * F32);
    largest = Math.max(largest, own);
    if (scheme.kind === 'bilevel') seconds += elementCount(shape) / rates.schemes[schemeName(scheme)].packed;
    if (scheme.kind === 'symmetric') seconds += elementCount(shape) / rates.symmetric;
  }
  const peakBytes = BASE_BYTES + largest + shards;
  return { name: 'rtn', peakBytes, flops: 0, seconds, processorSeconds: seconds, stages: [] };
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

/** Every sequence is another: encoder and teacher run for each. */
export function estimatePaperSchedule(
  context: EstimateContext,
  parameters: readonly ParameterSpec[],
  gpuFlops: number,
): ScheduleEstimate {
  const { config, recipe, rates } = context;
  const answers = Math.max(0, PAPER_TOKENS - config.tokensPerTile);
  const workload = { ...context.workload, tokens: PAPER_TOKENS, answers };
  const sizes = measureSizes(recipe, config, parameters, PAPER_TOKENS);
  const long = { ...context, workload, sizes };
  const teacher = teaching(long);
  const perSequence = sequenceWork(long);
  const sequences = PAPER_STEPS * PAPER_BATCH;
  const whole = languageForward(teacher) + encoderForward(teacher) + encoderForward(long);
  const trained = sizes.count.language + sizes.count.projector;
  return {
    ...{ steps: PAPER_STEPS, batchSize: PAPER_BATCH, tokens: PAPER_TOKENS },
    flops: sequences * (perSequence + whole),
    seconds:
      (sequences * (perSequence / TRAINING_SHARE + whole)) / rates.gemm +
      (PAPER_STEPS * trained) / rates.adamw,
    gpuSeconds: (sequences * (perSequence + whole)) / gpuFlops,
  };
}
