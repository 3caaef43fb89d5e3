import { parameterInventory } from '@speedq/model';
import { expect, it } from 'vitest';
import { Allocator } from '../engine/allocator.ts';
import { measuringDevice } from '../engine/measuring-device.ts';
import { KeyValueCache } from '../model/kv-cache.ts';
import { TINY_CONFIG } from '../testing/tiny-model.ts';
import type { StoredTensor } from '../weights/source.ts';
import { WeightStore } from '../weights/store.ts';
import type { Phase } from './layers.ts';
import { recordPhase, schemesOf } from './layers.ts';
import { randomWeights } from './random-weights.ts';

const LIMITS = { maxStorageBufferBindingSize: 2 ** 27, maxBufferSize: 2 ** 28 };
const shards = randomWeights(TINY_CONFIG, schemesOf(2)).shards();
const stored: StoredTensor[] = [];
for await (const { bytes, tensors } of shards) {
  expect(bytes.length).toBe(tensors.reduce((sum, { byteLength }) => sum + byteLength, 0));
  stored.push(...tensors);
}

function record(phase: Phase, maxCount: number) {
  const allocator = new Allocator(measuringDevice(LIMITS));
  const weights = WeightStore.measure(allocator, stored);
  const cache = new KeyValueCache(allocator, TINY_CONFIG, { maxContext: 300, format: 'f32' });
  return recordPhase(phase, { allocator, config: TINY_CONFIG, weights, cache, maxCount }).kernels;
}

it('a decoded token: six kernels a layer and three more, each layer once', () => {
  const kernels = record('decode', 1);
  expect(kernels.filter(({ perLayer }) => perLayer)).toHaveLength(6);
  expect(kernels.filter(({ perLayer }) => !perLayer)).toHaveLength(3);
  const steps = kernels.flatMap(({ dispatches }) => dispatches).sort((a, b) => a - b);
  expect(steps).toEqual(Array.from({ length: 6 * 2 + 3 }, (_, i) => i));
});

it('knows what kernels move and compute', () => {
  const run = { count: 1, past: 199 };
  const [, qkv, attention, , o] = record('decode', 1);
  // q of 4 and k, v of 2 heads of 64 from 256 inputs at 2.5 bits; the inputs and the outputs in float32
  expect(qkv.what).toBe('q_proj + k_proj + v_proj [512, 256]');
  expect(qkv.of(run)).toEqual({ bytes: (512 * 256 * 2.5) / 8 + 4 * (256 + 512), operations: 2 * 512 * 256 });
  // keys and values of 200 tokens; two products of 64 with each for every head
  expect(attention.of(run)).toEqual({
    // q, k and v; what 32 parts of the context give: sums, and a maximum and a total each
    bytes: 4 * (512 + 4 * 32 * (64 + 2)) + 2 * 200 * 128 * 4,
    operations: 2 * 2 * 200 * 256,
  });
  // what it is added to is read and written
  expect(o.of(run)).toEqual({ bytes: (256 * 256 * 2.5) / 8 + 4 * 256 * 3, operations: 2 * 256 * 256 });
});

it('a token reads every packed weight of the language side once', () => {
  const bytes = record('decode', 1)
    .filter(({ linear }) => linear)
    .reduce((sum, kernel) => {
      return sum + (kernel.perLayer ? kernel.dispatches.length : 1) * kernel.of({ count: 1, past: 0 }).bytes;
    }, 0);
  const weights = new Map(parameterInventory(TINY_CONFIG).map((parameter) => [parameter.name, parameter]));
  const packed = stored
    .filter(({ name }) => {
      const { part, role } = weights.get(name)!;
      return part === 'head' || (part === 'language' && role === 'linear');
    })
    .reduce((sum, { byteLength }) => sum + byteLength, 0);
  expect(bytes).toBeGreaterThan(packed);
  expect(bytes - packed).toBeLessThan(0.2 * packed);
});

it('a picture and a prompt have their kernels too', () => {
  const vision = record('vision', 3);
  expect(vision.filter(({ perLayer }) => perLayer).map(({ what }) => what)).toContain(
    'attention of 17 patches',
  );
  const [fc1] = vision.filter(({ what }) => what.startsWith('fc1'));
  expect(fc1.of({ count: 3, past: 0 }).operations).toBe(2 * 3 * 17 * 128 * 256);
  const attention = record('prefill', 8).find(({ what }) => what === 'attention')!;
  // of 8 tokens each sees those before it: 36 pairs
  expect(attention.of({ count: 8, past: 0 }).operations).toBe(4 * 36 * 256);
});
