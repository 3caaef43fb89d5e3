import { zeroPoints } from '@speedq/format';
import type { BilevelTensor } from '@speedq/format';
import type { Tensor } from '@speedq/onnx';
import type { Recipe } from '../../recipes/schema.ts';
import { templateName } from '../blocks/block.ts';
import { outputError, roundToNearest, withOutcome } from '../blocks/block-task.ts';
import type { BlockMethod, BlockOutcome, BlockTask } from '../blocks/block-task.ts';
import { searchRanges } from './grams.ts';
import { settleRounding, startRounding } from './rounding.ts';
import { roundingInputs, softWeight } from './soft-weight.ts';
import { trainBlock } from './train-block.ts';
import type { Parametrization, TrainedValues } from './train-block.ts';
import type { Values } from './block-objective.ts';

type Stage1 = Recipe['stage1'];

/** Exponent β of the regulariser and its weight at an iteration: off at first, then sharper and sharper. */
export function regulariserAt(
  iteration: number,
  stage: Stage1,
): { readonly lambda: number; readonly beta: number } {
  const warm = stage.iterations * stage.warmFraction;
  if (iteration < warm) return { lambda: 0, beta: stage.betaStart };
  const progress = (iteration - warm) / Math.max(1, stage.iterations - warm);
  return { lambda: stage.lambda, beta: stage.betaStart + (stage.betaEnd - stage.betaStart) * progress };
}

/**
 * Learned rounding, block by block (BRECQ, arXiv 2102.05426): each block learns to give the float block's output
 * from what the quantized blocks before it yield. Stage 1 of SPEED-Q, on any block.
 */
export const adaroundMethod: BlockMethod = {
  label: 'adaround',
  steps: ({ stage1 }) => stage1.iterations,
  async run(task) {
    const { stage1 } = task.context.recipe;
    const trained = await trainBlock(task, await parametrize(task), stage1);
    // Too few iterations leave weights halfway between codes; then nearest is the better choice.
    const nearest: BlockOutcome = { tensors: roundToNearest(task) };
    const errorOf = (outcome: BlockOutcome) => outputError(task, withOutcome(task.parameters, outcome));
    return (await errorOf(trained)) <= (await errorOf(nearest)) ? trained : nearest;
  },
};

async function parametrize(task: BlockTask): Promise<Parametrization> {
  const { block, weights, parameters, context } = task;
  const { stage1, fixes } = context.recipe;
  const ranges = await searchRanges(task, stage1.clipSearchTokens);
  const trained = new Map<string, TrainedValues>();
  const constants = new Map<string, Values>();
  const settles: (() => readonly [string, BilevelTensor])[] = [];
  for (const [name, { scheme, rows, columns }] of weights) {
    const options = { name, reference: !fixes.storedArithmetic, range: ranges.get(name) };
    const rounding = startRounding(parameters.get(name)!, rows, columns, scheme, options);
    const inputs = roundingInputs(templateName(name, block));
    const dims = [rows, columns / scheme.groupSize, scheme.groupSize];
    const perGroup = [dims[0], dims[1], 1];
    const alpha = rounding.initial;
    trained.set(inputs.alpha, { data: alpha, dims, rate: stage1.learningRate });
    constants.set(inputs.base, { data: rounding.base, dims });
    constants.set(inputs.scale, { data: rounding.parameters.scale, dims: perGroup });
    constants.set(inputs.zero, { data: zeroPoints(rounding.parameters), dims: perGroup });
    settles.push(() => [name, settleRounding(rounding, alpha)]);
  }
  let beta: Tensor | undefined;
  return {
    trained,
    declare: (g, name, shape, scheme) => {
      beta ??= g.input('beta', []);
      const soft = softWeight(g, name, shape, scheme, beta);
      return { weight: soft.weight, trained: [soft.alpha], penalty: soft.indecision };
    },
    inputs: (iteration) => {
      const at = regulariserAt(iteration, stage1);
      return new Map([
        ...constants,
        ['beta', { data: Float32Array.of(at.beta), dims: [] }],
        ['penalty_weight', { data: Float32Array.of(at.lambda), dims: [] }],
      ]);
    },
    rateAt: () => 1,
    settle: () => ({ tensors: new Map(settles.map((settle) => settle())) }),
  };
}
