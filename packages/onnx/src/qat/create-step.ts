import type { InternVLConfig } from '@speedq/model';
import type { OrtModule } from '../session.ts';
import { BlockStep } from './block-step.ts';
import { hostMemory } from '../memory.ts';
import type { QatStep, QatStepOptions, ResidentOptions, ResidentStep } from './options.ts';
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
  const step = await createResidentStep(ort, config, { ...options, memory: hostMemory(ort) });
  const gradients = new Map([...step.gradients].map(([name, { data }]) => [name, data as Float32Array]));
  return {
    trained: [...gradients.keys()],
    run: async (parameters, inputs) => ({ losses: await step.run(parameters, inputs), gradients }),
    release: () => step.release(),
  };
}

/** The same with gradients, activations and, if they are given as tensors, parameters in `options.memory`. */
export function createResidentStep(
  ort: OrtModule,
  config: InternVLConfig,
  options: ResidentOptions,
): Promise<ResidentStep> {
  return options.partition === 'whole'
    ? WholeStep.create(ort, config, options)
    : BlockStep.create(ort, config, options);
}
