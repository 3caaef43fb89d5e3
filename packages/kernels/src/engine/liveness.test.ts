import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { spread } from './grid.ts';
import { assignSlots } from './liveness.ts';
import { program } from './program.ts';
import type { Value } from './recorder.ts';
import { Recorder } from './recorder.ts';

const buffer = {} as GPUBuffer;
const step = program('step', {}, '');

function record(...steps: Value[][]): Recorder {
  const recorder = new Recorder(4, buffer);
  for (const resources of steps)
    recorder.dispatches.push({ program: step, resources, grid: () => [1, 1, 1] });
  return recorder;
}

const value = (width: number): Value => ({ label: 'v', rows: { perCount: 1, fixed: 0 }, width });

function slotsOf(recorders: Recorder[], values: Value[]): (number | undefined)[] {
  const { slots } = assignSlots(recorders);
  return values.map((one) => slots.get(one));
}

describe('assignSlots', () => {
  it('reuses a slot after the last reader, never while one is to come', () => {
    const [a, b, c, d] = [value(2), value(2), value(2), value(2)];
    const recorder = record([a, b], [b, c], [a, c, d]);
    const slots = slotsOf([recorder], [a, b, c]);
    // b is dead after the second step, when c already has a slot of its own
    expect(new Set(slots).size).toBe(3);
    expect(slotsOf([recorder], [d])).toEqual([slots[1]]);
    expect(assignSlots([recorder]).sizes).toEqual([32, 32, 32]);
  });

  it('does not let the output of a step share memory with its inputs', () => {
    const [a, b] = [value(8), value(8)];
    const slots = slotsOf([record([a], [a, b], [b])], [a, b]);
    expect(slots[0]).not.toBe(slots[1]);
  });

  it('needs no more than the largest activations that live together, whatever comes first', () => {
    // The small ones come first: they must not keep the large ones from sharing.
    const [small, other, large, last] = [value(2), value(2), value(100), value(50)];
    const recorder = record([small, other], [other, last], [last, large], [large, small]);
    const { sizes } = assignSlots([recorder]);
    expect(sizes).toEqual([100 * 16, 50 * 16, 2 * 16]);
  });

  it('recordings that never run together share all slots', () => {
    const [a, b, c] = [value(8), value(20), value(8)];
    const { sizes, slots } = assignSlots([record([a, b]), record([c])]);
    expect(sizes).toEqual([320, 128]);
    expect([a, b, c].map((one) => slots.get(one))).toEqual([1, 0, 1]);
  });

  it('an input lives from the start, an output to the end', () => {
    const recorder = new Recorder(4, buffer);
    const input = recorder.input('in', { perCount: 1, fixed: 0 }, 4);
    const [a, b, output] = [value(4), value(4), value(4)];
    for (const resources of [[output], [a], [input, b]]) {
      recorder.dispatches.push({ program: step, resources, grid: () => [1, 1, 1] });
    }
    recorder.output(output);
    const [inputSlot, aSlot, bSlot, outputSlot] = slotsOf([recorder], [input, a, b, output]);
    expect(new Set([inputSlot, aSlot, outputSlot]).size).toBe(3);
    expect(bSlot).toBe(aSlot);
  });

  it('leaves values that have a buffer alone', () => {
    const kept = value(5);
    const recorder = record([kept, { ...value(1), buffer }]);
    recorder.keep(kept, buffer);
    expect(assignSlots([recorder]).slots.size).toBe(0);
  });

  it('no two activations that live together share a slot, in any recording', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uniqueArray(fc.nat(9), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 10, maxLength: 10 }),
        (steps, widths) => {
          const values = widths.map(value);
          const recorder = record(...steps.map((step) => step.map((i) => values[i])));
          const { sizes, slots } = assignSlots([recorder]);
          const uses = values.map((_, i) => steps.flatMap((one, at) => (one.includes(i) ? [at] : [])));
          for (const [i, a] of values.entries()) {
            if (uses[i].length === 0) continue;
            expect(sizes[slots.get(a)!]).toBeGreaterThanOrEqual(widths[i] * 16);
            for (const [j, b] of values.entries()) {
              if (j <= i || uses[j].length === 0 || slots.get(a) !== slots.get(b)) continue;
              expect(uses[i].at(-1)! < uses[j][0] || uses[j].at(-1)! < uses[i][0]).toBe(true);
            }
          }
        },
      ),
      { seed: 4 },
    );
  });
});

describe('spread', () => {
  it.each([0, 1, 65_535, 65_536, 151_674, 65_535 * 3 + 1])(
    'covers %i workgroups within the limits',
    (groups) => {
      const [x, y, z] = spread(groups);
      expect(x * y * z).toBeGreaterThanOrEqual(groups);
      expect(Math.max(x, y, z)).toBeLessThanOrEqual(65_535);
      // the surplus is less than one row of workgroups
      expect(x * y * z - groups).toBeLessThan(Math.max(1, y));
    },
  );
});
