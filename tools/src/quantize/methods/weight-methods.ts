import { quantizeBilevelTensor } from '@speedq/format';
import type { BilevelTensor } from '@speedq/format';
import type { BlockMethod, BlockTask, QuantizedWeight } from '../blocks/block-task.ts';
import type { GramSum } from '../blocks/block-runner.ts';
import { stopIfAsked } from '../reporter.ts';
import { searchClipRange } from '../clip-search/search-clip-range.ts';
import { gatherGrams } from './grams.ts';
import { gptq } from './gptq.ts';
import { DoubleProducts, diagonalBlocks } from './linear-algebra.ts';

/** Methods that look at one weight at a time and at the Gram matrix of what it multiplies. */

type QuantizeWeight = (
  weight: Float32Array,
  shape: QuantizedWeight,
  gram: GramSum,
  name: string,
) => BilevelTensor | Promise<BilevelTensor>;

async function eachWeight(task: BlockTask, quantize: QuantizeWeight) {
  const { weights, parameters, context } = task;
  const grams = await gatherGrams(task);
  const tensors = new Map<string, BilevelTensor>();
  for (const [name, shape] of weights) {
    stopIfAsked(context.reporter, task.name);
    tensors.set(name, await quantize(parameters.get(name)!, shape, grams.get(name)!, name));
    context.reporter.progress(tensors.size);
  }
  return { tensors };
}

/** The weight inside the clipping ranges that lose least. */
const clipWeight: QuantizeWeight = (weight, { scheme, rows, columns }, { matrix }, name) => {
  const blocks = diagonalBlocks(matrix, columns, scheme.groupSize);
  const range = searchClipRange(weight, rows, columns, scheme, blocks, { name });
  return quantizeBilevelTensor(weight, rows, columns, scheme, { name, range });
};

export const clipMethod: BlockMethod = {
  label: 'clip',
  steps: () => 7,
  run: (task) => eachWeight(task, clipWeight),
};

export const gptqMethod: BlockMethod = {
  label: 'gptq',
  steps: () => 7,
  async run(task) {
    const products = await DoubleProducts.create(task.context.threads);
    try {
      return await eachWeight(task, (weight, { scheme, rows, columns }, { matrix }, name) =>
        gptq(weight, rows, columns, scheme, matrix, task.context.recipe.gptq, products, name),
      );
    } finally {
      await products.release();
    }
  },
};
