import type { GramSum } from '../blocks/block-runner.ts';
import { itemsOf } from '../blocks/block-task.ts';
import type { BlockTask } from '../blocks/block-task.ts';

/** XᵀX of what each linear of the block multiplies, behind the quantized blocks before it. */
export async function gatherGrams({
  runner,
  block,
  parameters,
  quantizedInput,
}: BlockTask): Promise<ReadonlyMap<string, GramSum>> {
  const sums = await runner.grams(block, parameters, itemsOf(quantizedInput));
  return new Map(sums.flatMap((sum) => sum.weights.map((name) => [name, sum] as const)));
}
