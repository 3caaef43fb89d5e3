import type { InternVLConfig } from '@speedq/model';
import type { Recorder } from '../engine/recorder.ts';
import type { VariantChoice } from '../engine/variants.ts';
import type { TuningOptions } from '../tuning/fastest-variants.ts';
import { fastestVariants } from '../tuning/fastest-variants.ts';
import type { TrialCase } from '../tuning/trial.ts';
import type { StoredTensor } from '../weights/source.ts';
import { recordWithoutDevice } from './memory.ts';
import type { WebGPUModelOptions } from './options.ts';

/** Tokens in the cache when decoding is timed: a conversation about a picture. */
const TYPICAL_PAST = 2047;

/**
 * The fastest kernels on this device for the shapes of a model, to be given to createWebGPUModel and
 * memoryBudget. The model need not be loaded: trials bring buffers of their own, one case at a time.
 *
 * @param options `variants` are kept as they are, and their cases not tried
 * @throws SpeedqError as createWebGPUModel for a configuration that does not go with the tensors
 */
export async function chooseVariants(
  device: GPUDevice,
  config: InternVLConfig,
  tensors: Iterable<Omit<StoredTensor, 'byteOffset' | 'byteLength'>>,
  options: WebGPUModelOptions & TuningOptions,
): Promise<VariantChoice> {
  const { recording } = recordWithoutDevice(config, tensors, options, device.limits);
  const { vision, prefill, decode, cache } = recording;
  const past = Math.min(TYPICAL_PAST, options.maxContext - 1);
  const forced = options.variants ?? {};
  const trials = (recorder: Recorder, before: number): TrialCase[] =>
    [...recorder.cases.values()]
      .filter(({ op, key }) => !(op in forced) && !(key in forced))
      .map((variantCase) => ({
        variantCase,
        params: recorder.params,
        count: recorder.maxCount,
        past: before,
        growth: Math.max(1, Math.ceil((before + 1) / cache.capacity)),
      }));
  const cases = [...trials(decode.recorder, past), ...trials(prefill.recorder, 0), ...trials(vision, 0)];
  return { ...(await fastestVariants(device, cases, options)), ...forced };
}
