import type { InternVLConfig } from '@speedq/model';
import type { OrtModule } from '../session.ts';
import { BlockStep } from './block-step.ts';
import type { QatStep, QatStepOptions } from './options.ts';
import { WholeStep } from './whole-step.ts';

/**
 * Forward, loss (SPEED-Q stages 2 and 3: cross-entropy and CAKLD, arXiv 2511.08914) and backward of the
 * language side, behind a frozen vision encoder. Both partitions give the same numbers.
 */
export async function createQatStep(
  ort: OrtModule,
  config: InternVLConfig,
  options: QatStepOptions,
): Promise<QatStep> {
  return options.partition === 'whole'
    ? WholeStep.create(ort, config, options)
    : BlockStep.create(ort, config, options);
}
