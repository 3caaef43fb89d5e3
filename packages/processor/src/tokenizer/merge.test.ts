import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { mergePiece } from './merge.ts';

/** The definition: again and again, the leftmost pair of the lowest rank. */
function mergeByDefinition(symbols: number[], ranks: Map<number, number>, results: Int32Array): number[] {
  const ids = [...symbols];
  for (;;) {
    let best = Infinity;
    let at = -1;
    for (let i = 0; i + 1 < ids.length; i++) {
      const rank = ranks.get(ids[i] * 100 + ids[i + 1]) ?? Infinity;
      if (rank < best) [best, at] = [rank, i];
    }
    if (at < 0) return ids;
    ids.splice(at, 2, results[best]);
  }
}

test('equals the definition on random tables, with many overlaps', () => {
  const pair = fc.tuple(fc.nat({ max: 11 }), fc.nat({ max: 11 }), fc.nat({ max: 11 }));
  fc.assert(
    fc.property(
      fc.array(pair, { maxLength: 40 }),
      fc.array(fc.nat({ max: 3 }), { maxLength: 60 }),
      (rules, symbols) => {
        const ranks = new Map(rules.map(([left, right], rank) => [left * 100 + right, rank]));
        const results = Int32Array.from(rules, ([, , result]) => result);
        expect(mergePiece(Int32Array.from(symbols), { ranks, results, stride: 100 })).toEqual(
          mergeByDefinition(symbols, ranks, results),
        );
      },
    ),
    { numRuns: 2000 },
  );
});
