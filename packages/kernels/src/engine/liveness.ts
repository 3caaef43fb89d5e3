import type { Recorder, Value } from './recorder.ts';
import { isValue, rowCount } from './recorder.ts';

/** Buffers that activations share, and which of them each activation has. */
export interface SlotPlan {
  /** Bytes. */
  readonly sizes: readonly number[];
  readonly slots: ReadonlyMap<Value, number>;
}

interface Lifetime {
  readonly value: Value;
  readonly bytes: number;
  readonly recorder: Recorder;
  /** Steps, both inclusive: the output of a step shares no memory with its inputs. */
  readonly first: number;
  last: number;
}

/**
 * Gives every activation a slot, such that no two that live at the same time share one. Recordings that never
 * run at the same time share all slots. The largest activations choose first, each the smallest slot that is
 * free for as long as it lives: slots then are no larger than their first tenant.
 */
export function assignSlots(recorders: readonly Recorder[]): SlotPlan {
  const sizes: number[] = [];
  const tenants: Lifetime[][] = [];
  const slots = new Map<Value, number>();
  const lifetimes = recorders.flatMap(lifetimesOf);
  // stable: equals keep the order of their steps
  lifetimes.sort((a, b) => b.bytes - a.bytes);
  for (const lifetime of lifetimes) {
    const isFree = (slot: number): boolean =>
      tenants[slot].every(
        ({ recorder, first, last }) =>
          recorder !== lifetime.recorder || last < lifetime.first || lifetime.last < first,
      );
    // Later slots are smaller.
    let slot = sizes.length - 1;
    while (slot >= 0 && !isFree(slot)) slot--;
    if (slot < 0) {
      slot = sizes.length;
      sizes.push(lifetime.bytes);
      tenants.push([]);
    }
    tenants[slot].push(lifetime);
    slots.set(lifetime.value, slot);
  }
  return { sizes, slots };
}

function lifetimesOf(recorder: Recorder): Lifetime[] {
  const lifetimes = new Map<Value, Lifetime>();
  recorder.dispatches.forEach(({ resources }, index) => {
    for (const value of resources) {
      if (!isValue(value) || recorder.fixedBuffer(value) !== undefined) continue;
      const bytes = Math.max(1, rowCount(value.rows, recorder.maxCount)) * value.width * 4;
      const first = recorder.isInput(value) ? -1 : index;
      const known = lifetimes.get(value);
      const last = recorder.isOutput(value) ? Infinity : index;
      if (known === undefined) lifetimes.set(value, { value, bytes, recorder, first, last });
      else known.last = Math.max(known.last, last);
    }
  });
  return [...lifetimes.values()];
}
