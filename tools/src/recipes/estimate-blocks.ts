import { schemeName } from '@speedq/format';
import type { BlockMethodName } from '../quantize/methods/names.ts';
import { BLOCK_INTERMEDIATES, F32, SESSION_SECONDS, TRAINING_SHARE, stage } from './estimate-stage.ts';
import type { EstimateContext, StageEstimate, Work } from './estimate-stage.ts';
import type { SchemeRates } from './machine.ts';
import type { PlannedWeight, Tower } from './workload.ts';

/** Stores of activations up to this many bytes stay in memory. */
const ACTIVATION_BYTES = 2 ** 29;
/** Items that errors are measured on. */
const MEASURED_ITEMS = 64;
/** Products of a row with the Gram matrix that AWQ's search may take. */
const AWQ_WORK = 1e8;
const F64 = 8;

/** The blocks of a kind by a method, one after the other; nothing where none of their weights is quantized. */
export function estimateBlocks(
  context: EstimateContext,
  tower: Tower,
  method: BlockMethodName,
  items: number,
): StageEstimate | undefined {
  if (tower.quantized.length === 0 || items === 0) return undefined;
  const { rates, recipe } = context;
  const { forward, inputs, rows, width, kind } = tower;
  const measured = Math.min(MEASURED_ITEMS, items);
  const squares = inputs.reduce((sum, columns) => sum + columns ** 2, 0);
  const searchTokens = usesTokens(method) ? recipe.stage1.clipSearchTokens : Infinity;
  const gathered = Math.min(items, Math.ceil(searchTokens / rows));
  const own = workOf(context, tower, method);
  // The original's and the quantized outputs; errors to nearest and so; Gram matrices of what suffices.
  const passes = 2 * items + 2 * measured + (method === 'adaround' ? 2 * measured : 0) + gathered;
  const work = {
    flops: passes * forward + gathered * 2 * rows * squares + own.flops,
    serial:
      (gathered * squares) / rates.sums + each(context, tower, ({ rounded }) => 2 / rounded) + own.serial,
  };
  // Float inputs and outputs, quantized inputs and outputs.
  const store = items * rows * width * F32;
  const stores = store <= ACTIVATION_BYTES ? 4 * store : 0;
  const grams = gathered > 0 ? squares * (F64 + 2 * F32) : 0;
  // The encoder gives the other kinds their inputs, whole.
  const encoder = kind === 'vision' ? 0 : context.sizes.count.vision * F32;
  const one = memoryOf(context, tower, method);
  const encoding =
    kind === 'vision' ? 0 : 2 * Math.min(items, context.workload.tiles) * context.sizes.vision.blocks;
  return stage(
    context,
    `${method}, ${kind}`,
    {
      flops: tower.blocks * work.flops + encoding * context.sizes.vision.forward,
      serial: tower.blocks * work.serial + 3 * SESSION_SECONDS,
    },
    stores + Math.max(encoder, grams + one),
  );
}

/** AdaRound and the blockwise method only take clipping ranges from Gram matrices. */
const usesTokens = (method: BlockMethodName) => method === 'adaround' || method === 'blockwise';

function each(
  { rates }: EstimateContext,
  { quantized }: Tower,
  secondsOf: (rates: SchemeRates, weight: PlannedWeight) => number,
): number {
  return quantized.reduce(
    (sum, weight) =>
      sum + weight.rows * weight.columns * secondsOf(rates.schemes[schemeName(weight.scheme)], weight),
    0,
  );
}

/** What is the method's own in one block. */
function workOf(context: EstimateContext, tower: Tower, method: BlockMethodName): Work {
  const { rates, recipe } = context;
  const search = each(context, tower, ({ searched }) => 1 / searched);
  if (method === 'clip') return { flops: 0, serial: search };
  if (method === 'gptq') {
    // Factor and inverse by products of halves; later columns corrected panel by panel.
    const doubles = tower.quantized.reduce(
      (sum, { rows, columns }) => sum + (4 / 3) * columns ** 3 + rows * columns ** 2,
      0,
    );
    return {
      flops: (doubles / rates.doubles) * rates.gemm,
      serial: each(context, tower, ({ corrected }) => 1 / corrected),
    };
  }
  if (method === 'awq') {
    const { gridSteps, clipSearch } = recipe.awq;
    const scaling = tower.quantized.reduce((sum, { rows, columns, scheme }) => {
      const panels = rows / scheme.scaleGroupSize;
      const affordable = Math.max(1, Math.floor(AWQ_WORK / columns ** 2 / scheme.scaleGroupSize));
      const judged = Math.ceil(panels / Math.max(1, Math.ceil(panels / affordable))) * scheme.scaleGroupSize;
      const { rounded } = rates.schemes[schemeName(scheme)];
      return sum + gridSteps * judged * columns * (columns / rates.quadratic + 1 / rounded);
    }, 0);
    return { flops: 0, serial: scaling + (clipSearch ? search : 0) };
  }
  const { iterations, batchSize } = method === 'adaround' ? recipe.stage1 : recipe.blockwise;
  return {
    flops: (iterations * batchSize * 3 * tower.forward) / TRAINING_SHARE,
    serial: (iterations * tower.weights) / rates.adamw + (recipe.stage1.clipSearchTokens > 0 ? search : 0),
  };
}

/** What the method keeps of one block beside its Gram matrices. */
function memoryOf({ recipe }: EstimateContext, tower: Tower, method: BlockMethodName): number {
  const largest = (of: (weight: PlannedWeight) => number) => Math.max(...tower.quantized.map(of));
  if (method === 'gptq') {
    // The dampened Hessian, its factor and inverse and what they are made from; the weight and its correction.
    return largest(({ rows, columns }) => (5 * columns ** 2 + 2 * rows * columns) * F64);
  }
  if (method === 'clip') return largest(({ rows, columns }) => 4 * rows * columns * F32);
  if (method === 'awq') return 2 * tower.weights * F32 + largest(({ columns }) => columns ** 2 * F64);
  const { batchSize } = method === 'adaround' ? recipe.stage1 : recipe.blockwise;
  // Values, moments, gradients, constants, and what the graph makes of them, forward and backward.
  return 10 * tower.weights * F32 + batchSize * tower.rows * tower.width * F32 * BLOCK_INTERMEDIATES;
}
