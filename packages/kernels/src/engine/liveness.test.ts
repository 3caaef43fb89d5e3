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

describe('assignSlots', () => {
  it('reuses a slot after the last reader, never while one is to come', () => {
    const [a, b, c, d] = [value(2), value(2), value(2), value(2)];
    const pool = { sizes: [] };
    const slots = assignSlots(record([a, b], [b, c], [a, c, d]), pool);
    // b is dead after the second step, when c already has a slot of its own
    expect(new Set([a, b, c].map((v) => slots.get(v))).size).toBe(3);
    expect(slots.get(d)).toBe(slots.get(b));
    expect(pool.sizes).toEqual([32, 32, 32]);
  });

  it('does not let the output of a step share memory with its inputs', () => {
    const [a, b] = [value(8), value(8)];
    const slots = assignSlots(record([a], [a, b], [b]), { sizes: [] });
    expect(slots.get(a)).not.toBe(slots.get(b));
  });

  it('takes the smallest slot that fits, else grows the largest; a second plan starts with all free', () => {
    const pool = { sizes: [16, 64, 160] };
    const [a, b] = [value(3), value(20)];
    const slots = assignSlots(record([a, b]), pool);
    expect(slots.get(a)).toBe(1);
    expect(slots.get(b)).toBe(2);
    expect(pool.sizes).toEqual([16, 64, 320]);
  });

  it('leaves values that have a buffer alone', () => {
    const kept = value(5);
    const recorder = record([kept, { ...value(1), buffer }]);
    recorder.keep(kept, buffer);
    expect(assignSlots(recorder, { sizes: [] }).size).toBe(0);
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
