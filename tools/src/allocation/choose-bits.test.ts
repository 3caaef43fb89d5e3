import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { chooseBits } from './choose-bits.ts';
import type { Choice } from './choose-bits.ts';

const total = (units: readonly (readonly Choice[])[], chosen: readonly number[], key: keyof Choice) =>
  chosen.reduce((sum, choice, unit) => sum + units[unit][choice][key], 0);

/** Every combination tried. */
function leastLoss(units: readonly (readonly Choice[])[], budget: number): number | undefined {
  const all = units.reduce<number[][]>(
    (found, choices) => found.flatMap((chosen) => [...choices.keys()].map((choice) => [...chosen, choice])),
    [[]],
  );
  const losses = all
    .filter((chosen) => total(units, chosen, 'bytes') <= budget)
    .map((chosen) => total(units, chosen, 'loss'));
  return losses.length === 0 ? undefined : Math.min(...losses);
}

const units = fc.array(
  fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 60 }), loss: fc.integer({ min: 0, max: 1000 }) }), {
    minLength: 1,
    maxLength: 4,
  }),
  { minLength: 1, maxLength: 5 },
);

test('keeps to the budget, and loses little more than the best of all combinations', () => {
  let excess = 0;
  let runs = 0;
  fc.assert(
    fc.property(units, fc.integer({ min: 1, max: 300 }), (choices, budget) => {
      const chosen = chooseBits(choices, budget);
      const least = leastLoss(choices, budget);
      expect(chosen === undefined).toBe(least === undefined);
      if (chosen === undefined) return;
      expect(total(choices, chosen, 'bytes')).toBeLessThanOrEqual(budget);
      excess += total(choices, chosen, 'loss') - least!;
      runs++;
    }),
    { numRuns: 300, seed: 4 },
  );
  // Of losses up to 1,000 each: what a greedy choice misses with few units and coarse prices.
  expect(excess / runs).toBeLessThan(30);
});

test('spends where a byte helps most', () => {
  const sensitive = [
    { bytes: 10, loss: 100 },
    { bytes: 15, loss: 10 },
    { bytes: 20, loss: 0 },
  ];
  const robust = sensitive.map(({ bytes, loss }) => ({ bytes, loss: loss / 100 }));
  expect(chooseBits([robust, sensitive], 30)).toEqual([0, 2]);
  expect(chooseBits([robust, sensitive], 25)).toEqual([0, 1]);
  expect(chooseBits([robust, sensitive], 40)).toEqual([2, 2]);
  expect(chooseBits([robust, sensitive], 19)).toBeUndefined();
});

test('takes neither what costs more and loses more, nor a detour', () => {
  const choices = [
    { bytes: 10, loss: 50 },
    { bytes: 12, loss: 60 },
    { bytes: 15, loss: 45 },
    { bytes: 20, loss: 0 },
  ];
  expect(chooseBits([choices], 20)).toEqual([3]);
  expect(chooseBits([choices], 16)).toEqual([2]);
  expect(chooseBits([choices], 13)).toEqual([0]);
});
