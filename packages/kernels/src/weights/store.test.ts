import { FLOAT32 } from '@speedq/format';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { Allocator } from '../engine/allocator.ts';
import { measuringDevice } from '../engine/measuring-device.ts';
import type { WeightShard } from './source.ts';
import { WeightStore } from './store.ts';

const LIMITS = { maxStorageBufferBindingSize: 2 ** 27, maxBufferSize: 2 ** 28 };
const SHARD_BYTES = 2 ** 22;

it('holds at most one shard on the heap', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const device = measuringDevice(LIMITS);
  Object.assign(device.queue, { onSubmittedWorkDone: () => Promise.resolve() });
  const made: WeakRef<Uint8Array>[] = [];
  const living: number[] = [];
  const read = async (index: number): Promise<WeightShard> => {
    // WeakRefs let go only between tasks.
    await new Promise((resolve) => setTimeout(resolve, 1));
    collect();
    living.push(made.filter((one) => one.deref() !== undefined).length);
    const bytes = new Uint8Array(SHARD_BYTES);
    made.push(new WeakRef(bytes));
    const rows = SHARD_BYTES / 4;
    const whole = {
      name: `bias ${index}`,
      part: 'data',
      scheme: FLOAT32,
      shape: [rows],
      dtype: 'F32',
    } as const;
    return { bytes, tensors: [{ ...whole, rowOffset: 0, rows, byteOffset: 0, byteLength: SHARD_BYTES }] };
  };
  await WeightStore.load(new Allocator(device), {
    async *shards() {
      for (let index = 0; index < 5; index++) yield await read(index);
    },
  });
  // When a shard is asked for, none of those before it is held any more.
  expect(living).toEqual([0, 0, 0, 0, 0]);
});
