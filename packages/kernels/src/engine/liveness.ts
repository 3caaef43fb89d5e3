import type { Recorder, Value } from './recorder.ts';
import { isValue, rowCount } from './recorder.ts';

/**
 * Byte sizes of the buffers that activations share. Plans that never run at the same time may share one
 * pool; each starts with all slots free.
 */
export interface SlotPool {
  readonly sizes: number[];
}

/**
 * Gives every activation of a recording a slot, reusing a slot once its last reader has run.
 * Slots grow to their largest tenant: the smallest fitting free slot is taken, else the largest one grows.
 */
export function assignSlots(recorder: Recorder, pool: SlotPool): Map<Value, number> {
  const { dispatches, maxCount } = recorder;
  const lastUse = new Map<Value, number>();
  dispatches.forEach(({ resources }, index) => {
    for (const resource of resources) {
      if (isValue(resource) && recorder.fixedBuffer(resource) === undefined) lastUse.set(resource, index);
    }
  });
  const slots = new Map<Value, number>();
  const free = new Set(pool.sizes.keys());
  dispatches.forEach(({ resources }, index) => {
    const values = new Set(resources.filter((resource) => lastUse.has(resource as Value)) as Value[]);
    for (const value of values) {
      if (slots.has(value)) continue;
      const bytes = Math.max(1, rowCount(value.rows, maxCount)) * value.width * 4;
      const slot = takeSlot(free, pool.sizes, bytes);
      slots.set(value, slot);
    }
    for (const value of values) {
      if (lastUse.get(value) === index) free.add(slots.get(value)!);
    }
  });
  return slots;
}

function takeSlot(free: Set<number>, sizes: number[], bytes: number): number {
  let best = -1;
  for (const slot of free) {
    if (best === -1) best = slot;
    else if (
      sizes[best] < bytes ? sizes[slot] > sizes[best] : sizes[slot] >= bytes && sizes[slot] < sizes[best]
    ) {
      best = slot;
    }
  }
  if (best === -1) {
    best = sizes.length;
    sizes.push(bytes);
  } else {
    free.delete(best);
    sizes[best] = Math.max(sizes[best], bytes);
  }
  return best;
}
