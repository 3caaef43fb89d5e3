import { chooseBilevel, clampToRange, encodeScales, quantizeBilevel } from '@speedq/format';
import type { BilevelTensor } from '@speedq/format';
import { learnedQuantize } from '@speedq/onnx';
import { templateName } from '../blocks/block.ts';
import type { BlockMethod, BlockTask } from '../blocks/block-task.ts';
import { cosineRate } from '../schedule.ts';
import { searchRanges } from './grams.ts';
import { trainBlock } from './train-block.ts';
import type { Parametrization, TrainedValues } from './train-block.ts';

const inputsOf = (name: string) => ({
  weight: `latent.${name}`,
  scale: `scale.${name}`,
  zero: `zero.${name}`,
});

/**
 * Weights, scales and zero points learned together, block by block (Block-AP of EfficientQAT, arXiv 2407.11062),
 * from searched clipping ranges; scales under the second level that they are stored in.
 */
export const blockwiseMethod: BlockMethod = {
  label: 'blockwise',
  steps: ({ blockwise }) => blockwise.iterations,
  run: async (task) => trainBlock(task, await parametrize(task), task.context.recipe.blockwise),
};

async function parametrize(task: BlockTask): Promise<Parametrization> {
  const { block, weights, parameters, context } = task;
  const { blockwise, stage1 } = context.recipe;
  const ranges = await searchRanges(task, stage1.clipSearchTokens);
  const trained = new Map<string, TrainedValues>();
  const settles: (() => { name: string; tensor: BilevelTensor; latent: Float32Array })[] = [];
  for (const [name, { scheme, rows, columns }] of weights) {
    const range = ranges.get(name);
    const original = parameters.get(name)!;
    const chosen = chooseBilevel(original, rows, columns, scheme, { name, range });
    const latent = range ? clampToRange(original, range, scheme.groupSize) : original.slice();
    const scale = chosen.scale;
    // Zero points count in codes, minima in weights.
    const zero = chosen.offset ?? Float32Array.from(chosen.zero);
    // Rates are in units of the quantizer's own step, so that one suits every weight.
    const unit = scale.reduce((sum, value) => sum + value, 0) / scale.length;
    const zeroRate = blockwise.zeroLearningRate * (chosen.offset ? unit : 1);
    const inputs = inputsOf(templateName(name, block));
    const perGroup = [rows, columns / scheme.groupSize];
    trained.set(inputs.weight, {
      data: latent,
      dims: [rows, columns],
      rate: blockwise.learningRate * unit,
    });
    trained.set(inputs.scale, { data: scale, dims: perGroup, rate: blockwise.scaleLearningRate * unit });
    trained.set(inputs.zero, { data: zero, dims: perGroup, rate: zeroRate });
    settles.push(() => {
      const settled = encodeScales(scale, zero, rows, columns, scheme, name);
      return { name, latent, tensor: { ...settled, codes: quantizeBilevel(latent, settled) } };
    });
  }
  return {
    trained,
    declare: (g, name, shape, scheme) => {
      const inputs = inputsOf(name);
      const perGroup = [shape[0], shape[1] / scheme.groupSize];
      const weight = g.input(inputs.weight, shape);
      const scale = g.input(inputs.scale, perGroup);
      const zero = g.input(inputs.zero, perGroup);
      return { weight: learnedQuantize(g, weight, scale, zero, scheme), trained: [weight, scale, zero] };
    },
    inputs: () => new Map(),
    rateAt: (iteration) => cosineRate(iteration, blockwise.iterations, 1, 0.03),
    settle: () => {
      const settled = settles.map((settle) => settle());
      return {
        tensors: new Map(settled.map(({ name, tensor }) => [name, tensor])),
        latents: new Map(settled.map(({ name, latent }) => [name, latent])),
      };
    },
  };
}
