import { chars, choice, literal, optional, repeat, sequence } from './grammar.ts';
import type { Expression } from './grammar.ts';

const digit = (low: number, high: number): Expression => chars([0x30 + low, 0x30 + high]);
const digits = (count: number, max = count): Expression => repeat(digit(0, 9), count, max);

/** Beyond 15 digits a number of JavaScript is not exact; it also ends rows of digits that a model does not. */
const MAX_DIGITS = 15;

/** Integers in JSON's notation from `min` to `max`, both inclusive; infinite ends have up to 15 digits. */
export function integerRange(min: number, max: number): Expression {
  const alternatives: Expression[] = [];
  if (min <= 0 && max >= 0) alternatives.push(literal('0'));
  if (max > 0) alternatives.push(positive(Math.max(min, 1), max));
  if (min < 0) alternatives.push(sequence(literal('-'), positive(Math.max(-max, 1), -min)));
  return choice(...alternatives);
}

/** 1 ≤ low ≤ high. */
function positive(low: number, high: number): Expression {
  const from = String(low);
  const length = from.length;
  if (high === Infinity) {
    const longer = sequence(digit(1, 9), digits(length, Math.max(MAX_DIGITS - 1, length)));
    return choice(between(from, '9'.repeat(length)), longer);
  }
  const to = String(high);
  if (to.length === length) return between(from, to);
  const alternatives = [between(from, '9'.repeat(length)), between(`1${'0'.repeat(to.length - 1)}`, to)];
  if (to.length - length > 1) alternatives.push(sequence(digit(1, 9), digits(length, to.length - 2)));
  return choice(...alternatives);
}

/** Rows of digits of one length, in their order as texts. */
function between(low: string, high: string): Expression {
  if (low === '') return sequence();
  const [first, last] = [Number(low[0]), Number(high[0])];
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  const rest = lowRest.length;
  if (/^0*$/.test(lowRest) && /^9*$/.test(highRest)) return sequence(digit(first, last), digits(rest));
  if (first === last) return sequence(digit(first, first), between(lowRest, highRest));
  const alternatives = [
    sequence(digit(first, first), between(lowRest, '9'.repeat(rest))),
    sequence(digit(last, last), between('0'.repeat(rest), highRest)),
  ];
  if (last - first > 1) alternatives.push(sequence(digit(first + 1, last - 1), digits(rest)));
  return choice(...alternatives);
}

/** Any number of JSON, with at most 15 digits before and after the point. */
export function anyNumber(allowsNegative: boolean): Expression {
  const integer = choice(literal('0'), sequence(digit(1, 9), digits(0, MAX_DIGITS - 1)));
  return sequence(
    ...(allowsNegative ? [optional(literal('-'))] : []),
    integer,
    optional(sequence(literal('.'), digits(1, MAX_DIGITS))),
    optional(
      sequence(chars([0x45, 0x45], [0x65, 0x65]), optional(chars([0x2b, 0x2b], [0x2d, 0x2d])), digits(1, 2)),
    ),
  );
}
