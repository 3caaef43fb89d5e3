/** Code points, both ends inclusive. */
export type CharRange = readonly [low: number, high: number];

/** What a text may be. Rules may refer to each other and to themselves. */
export type Expression =
  | { readonly kind: 'chars'; readonly ranges: readonly CharRange[] }
  | { readonly kind: 'sequence'; readonly items: readonly Expression[] }
  | { readonly kind: 'choice'; readonly items: readonly Expression[] }
  | { readonly kind: 'repeat'; readonly item: Expression; readonly min: number; readonly max: number }
  | { readonly kind: 'rule'; readonly name: string };

export interface Grammar {
  readonly root: Expression;
  readonly rules: ReadonlyMap<string, Expression>;
}

export const MAX_CODE_POINT = 0x10ffff;

export const chars = (...ranges: CharRange[]): Expression => ({ kind: 'chars', ranges });
export const sequence = (...items: Expression[]): Expression => ({ kind: 'sequence', items });
export const choice = (...items: Expression[]): Expression => ({ kind: 'choice', items });
export const rule = (name: string): Expression => ({ kind: 'rule', name });
export const repeat = (item: Expression, min: number, max = Infinity): Expression => ({
  kind: 'repeat',
  item,
  min,
  max,
});
export const optional = (item: Expression): Expression => repeat(item, 0, 1);
export const empty: Expression = sequence();

/** Exactly this text. */
export function literal(text: string): Expression {
  return sequence(
    ...Array.from(text, (char) => {
      const point = char.codePointAt(0)!;
      return chars([point, point]);
    }),
  );
}

/** One of the characters of `text`. */
export function oneOf(text: string): Expression {
  return chars(...Array.from(text, (char): CharRange => [char.codePointAt(0)!, char.codePointAt(0)!]));
}

/** Sorted and without overlaps. */
export function normalizeRanges(ranges: readonly CharRange[]): CharRange[] {
  const merged: [number, number][] = [];
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else merged.push([low, high]);
  }
  return merged;
}

/** Every other code point. */
export function complement(ranges: readonly CharRange[]): CharRange[] {
  const rest: CharRange[] = [];
  let next = 0;
  for (const [low, high] of normalizeRanges(ranges)) {
    if (low > next) rest.push([next, low - 1]);
    next = high + 1;
  }
  if (next <= MAX_CODE_POINT) rest.push([next, MAX_CODE_POINT]);
  return rest;
}
