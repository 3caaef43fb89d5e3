import type { InternVLConfig } from '@speedq/model';
import { Allocator } from '../engine/allocator.ts';
import type { MemoryKind } from '../engine/allocator.ts';
import { measuringDevice } from '../engine/measuring-device.ts';
import type { StoredTensorInfo } from '../weights/source.ts';
import { WeightStore, storedBytes } from '../weights/store.ts';
import type { WebGPUModelOptions } from './options.ts';
import { capacitiesOf } from './options.ts';
import type { ModelRecording } from './plans.ts';
import { recordPlans, tokenReadbacks } from './plans.ts';

/** GPU bytes by purpose. */
export interface MemoryUse extends Readonly<Record<MemoryKind, number>> {
  readonly total: number;
}

export interface MemoryBudget {
  /** Once the model is loaded: the cache at its first size, no picture seen. */
  readonly loaded: MemoryUse;
  /** With a full context and the features of a picture of most tiles. */
  readonly full: MemoryUse;
}

/** What a WebGPU device has at least (the specification's default limits). */
const DEFAULT_LIMITS = { maxStorageBufferBindingSize: 2 ** 27, maxBufferSize: 2 ** 28 };

/**
 * The GPU memory that `createWebGPUModel` with the same options will take, without a device and without the
 * weights: everything is recorded as it will be, on a device that only counts.
 *
 * @param tensors what the model's shards hold; byteOffset and byteLength are not looked at
 * @param maxTiles tiles of a picture, thumbnail included, for `full`
 * @throws SpeedqError as createWebGPUModel, except for what only a device can find
 */
export function memoryBudget(
  config: InternVLConfig,
  tensors: Iterable<StoredTensorInfo>,
  options: WebGPUModelOptions & { readonly maxTiles?: number },
  limits: Pick<GPUSupportedLimits, 'maxStorageBufferBindingSize' | 'maxBufferSize'> = DEFAULT_LIMITS,
): MemoryBudget {
  const { allocator, recording } = recordWithoutDevice(config, tensors, options, limits);
  const { cache } = recording;
  tokenReadbacks(allocator);
  const loaded = memoryUse(allocator);
  const { language, tokensPerTile } = config;
  const images = (options.maxTiles ?? 1) * tokensPerTile * language.hiddenSize * 4;
  const full = { ...loaded, kvCache: cache.fullBytes, images };
  return { loaded, full: { ...full, total: full.weights + full.kvCache + full.images + full.activations } };
}

/** The plans of a model on a device that only counts. */
export function recordWithoutDevice(
  config: InternVLConfig,
  tensors: Iterable<StoredTensorInfo>,
  options: WebGPUModelOptions,
  limits: Pick<GPUSupportedLimits, 'maxStorageBufferBindingSize' | 'maxBufferSize'>,
): { readonly allocator: Allocator; readonly recording: ModelRecording } {
  const allocator = new Allocator(measuringDevice(limits));
  const located = Array.from(tensors, (tensor) => ({
    ...tensor,
    byteOffset: 0,
    byteLength: storedBytes(tensor),
  }));
  const weights = WeightStore.measure(allocator, located);
  return { allocator, recording: recordPlans(allocator, config, weights, capacitiesOf(config, options)) };
}

export function memoryUse(allocator: Allocator): MemoryUse {
  return {
    weights: allocator.bytesOf('weights'),
    kvCache: allocator.bytesOf('kvCache'),
    images: allocator.bytesOf('images'),
    activations: allocator.bytesOf('activations'),
    total: allocator.bytesOf(),
  };
}
