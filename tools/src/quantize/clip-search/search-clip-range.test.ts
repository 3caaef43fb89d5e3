import { accumulateGram, namedScheme, searchClipRange as plainSearch } from '@speedq/format';
import type { BilevelScheme } from '@speedq/format';
import { expect, test } from 'vitest';
import { createRandom } from '../../data/random.ts';
import { searchClipRange } from './search-clip-range.ts';

const [rows, columns, tokens] = [128, 192, 100];

test.each([
  '2bit-g16',
  '3bit-g16',
  '4bit-g32',
  '2bit-g32',
  '2bit-g64',
  '2bit-g16-min',
  '3bit-g32-min',
  '2bit-row',
])('finds the very ranges of the plain search at %s', (name) => {
  const scheme = namedScheme(name, columns) as BilevelScheme;
  const random = createRandom(7);
  const normal = () => random.next() + random.next() + random.next() - 1.5;
  // Outliers, groups of one sign and zeros: ends of the range that cross, and scales at their smallest.
  const weight = Float32Array.from({ length: rows * columns }, (_, i) => {
    const row = Math.floor(i / columns);
    if (row % 11 === 3) return 0;
    return normal() * (i % 53 === 0 ? 0.2 : 0.02) + [0, 0, 0.05, -0.05][row % 4];
  });
  const activations = Float32Array.from({ length: tokens * columns }, (_, i) => normal() * (1 + (i % 5)));
  const gram = new Float64Array(columns * scheme.groupSize);
  accumulateGram(activations, tokens, columns, scheme.groupSize, gram);
  for (const reference of [false, true]) {
    const expected = plainSearch(weight, rows, columns, scheme, gram, { reference });
    expect(searchClipRange(weight, rows, columns, scheme, gram, { reference })).toEqual(expected);
    expect(expected.max.some((max, i) => max !== expected.max[0] && expected.min[i] !== 0)).toBe(true);
  }
});
