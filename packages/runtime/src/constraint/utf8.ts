import type { CharRange } from './grammar.ts';

/** Byte ranges, one for each byte of a character, both ends inclusive. */
export type ByteRanges = readonly (readonly [low: number, high: number])[];

/** First code points that need one byte more, and the surrogates, which UTF-8 does not have. */
const BORDERS = [0x80, 0x800, 0xd800, 0xe000, 0x10000];

/** The UTF-8 forms of the code points of a range, as products of byte ranges. */
export function utf8Ranges([low, high]: CharRange): ByteRanges[] {
  const border = BORDERS.find((first) => low < first && first <= high);
  if (border !== undefined) return [...utf8Ranges([low, border - 1]), ...utf8Ranges([border, high])];
  if (low >= 0xd800 && high < 0xe000) return [];
  const [from, to] = [encode(low), encode(high)];
  return productsOf(from, to);
}

/** Byte strings of equal length between two, as products: their common start, then what differs. */
function productsOf(from: readonly number[], to: readonly number[]): ByteRanges[] {
  if (from.length === 0) return [[]];
  const [[a, ...fromRest], [b, ...toRest]] = [from, to];
  const lowest = fromRest.map(() => 0x80);
  const highest = fromRest.map(() => 0xbf);
  const after = (first: number, last: number, tails: ByteRanges[]): ByteRanges[] =>
    first > last ? [] : tails.map((tail) => [[first, last] as const, ...tail]);
  if (a === b) return after(a, a, productsOf(fromRest, toRest));
  const startsLow = fromRest.every((byte, i) => byte === lowest[i]);
  const endsHigh = toRest.every((byte, i) => byte === highest[i]);
  return [
    ...(startsLow ? [] : after(a, a, productsOf(fromRest, highest))),
    ...after(startsLow ? a : a + 1, endsHigh ? b : b - 1, productsOf(lowest, highest)),
    ...(endsHigh ? [] : after(b, b, productsOf(lowest, toRest))),
  ];
}

function encode(point: number): number[] {
  return [...new TextEncoder().encode(String.fromCodePoint(point))];
}
