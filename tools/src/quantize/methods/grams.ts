import type { GroupRange } from '@speedq/format';
import { blockWidths } from '../blocks/block.ts';
import type { GramSum } from '../blocks/block-runner.ts';
import type { BlockTask } from '../blocks/block-task.ts';
import { searchClipRange } from '../clip-search/search-clip-range.ts';
import { diagonalBlocks } from './linear-algebra.ts';

/** XᵀX of what each linear of the block multiplies, behind the quantized blocks before it. */
export async function gatherGrams(
  { runner, block, parameters, quantizedInput, context }: BlockTask,
  /** Tokens that suffice. */
  tokens = Infinity,
): Promise<ReadonlyMap<string, GramSum>> {
  const { input } = blockWidths(context.config, block.kind);
  function* items(): Generator<Float32Array> {
    for (let index = 0, seen = 0; index < quantizedInput.items && seen < tokens; index++) {
      yield quantizedInput.read(index);
      seen += quantizedInput.size(index) / input;
    }
  }
  const sums = await runner.grams(block, parameters, items());
  return new Map(sums.flatMap((sum) => sum.weights.map((name) => [name, sum] as const)));
}

/** Clipping ranges that suit what the linears multiply; none where no tokens are to be looked at. */
export async function searchRanges(
  task: BlockTask,
  tokens: number,
): Promise<ReadonlyMap<string, GroupRange>> {
  if (tokens === 0) return new Map();
  const { weights, parameters } = task;
  const grams = await gatherGrams(task, tokens);
  return new Map(
    [...weights].map(([name, { scheme, rows, columns }]) => {
      const gram = diagonalBlocks(grams.get(name)!.matrix, columns, scheme.groupSize);
      return [name, searchClipRange(parameters.get(name)!, rows, columns, scheme, gram, { name })];
    }),
  );
}
