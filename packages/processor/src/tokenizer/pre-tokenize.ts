/** The pattern as it stands in a Qwen2 tokenizer.json (Oniguruma syntax); the only one accepted. */
export const QWEN2_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

// Two differences between the regex engines are written out. Blank means Unicode White_Space: JavaScript's \s
// adds U+FEFF and lacks U+0085. Ignoring case, U+017F (long s) is an s; inline (?i:) needs newer browsers.
const blank = '\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const qwen2 = new RegExp(
  [
    "'(?:[sS\\u017ftTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])",
    '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+',
    '\\p{N}',
    ` ?[^${blank}\\p{L}\\p{N}]+[\\r\\n]*`,
    `[${blank}]*[\\r\\n]+`,
    `[${blank}]+(?![^${blank}])`,
    `[${blank}]+`,
  ].join('|'),
  'gu',
);

/**
 * Cuts normalised text into the pieces inside which merges happen. The pieces concatenate to the text (every
 * character matches one of the alternatives), and the time is linear in its length.
 */
export function preTokenize(text: string): string[] {
  return text.match(qwen2) ?? [];
}
