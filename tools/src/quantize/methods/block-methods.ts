import { quantizeBlocks } from '../blocks/quantize-blocks.ts';
import type { BlockMethod } from '../blocks/block-task.ts';
import type { StageContext } from '../context.ts';
import type { BlockErrors } from '../job.ts';
import type { BlockMethodName } from './names.ts';
import { adaroundMethod } from './adaround.ts';
import { awqMethod } from './awq.ts';
import { blockwiseMethod } from './blockwise.ts';
import { clipMethod, gptqMethod } from './weight-methods.ts';

export const BLOCK_METHODS: Readonly<Record<BlockMethodName, BlockMethod>> = {
  clip: clipMethod,
  gptq: gptqMethod,
  awq: awqMethod,
  adaround: adaroundMethod,
  blockwise: blockwiseMethod,
};

/** Quantizes whatever the recipe quantizes: encoder, projector, language model. */
export async function quantizeByBlocks(context: StageContext, method: BlockMethod): Promise<BlockErrors[]> {
  const { stage1, calibration } = context.recipe;
  return [
    ...(await quantizeBlocks(context, 'vision', method, stage1.calibrationImages)),
    ...(await quantizeBlocks(context, 'projector', method, stage1.calibrationImages)),
    ...(await quantizeBlocks(context, 'language', method, calibration.conversations)),
  ];
}
