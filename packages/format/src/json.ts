import { MAX_JSON_DEPTH } from './limits.ts';

/**
 * JSON.parse for text that nobody vouches for. `[[],[],…` or `[1,1,…` would make it allocate ten times the text, and
 * deep nesting overflows the stack of whoever walks through the value later.
 *
 * @throws {SyntaxError} also beyond the limits: values 2^18 and one for each 16 characters, MAX_JSON_DEPTH
 */
export function parseJson(text: string): unknown {
  const limit = 2 ** 18 + text.length / 16;
  let [values, depth] = [1, 0];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) {
      i = endOfString(text, i);
    } else if (code === 0x5b || code === 0x7b) {
      values++;
      if (++depth > MAX_JSON_DEPTH) throw new SyntaxError(`nested more than ${MAX_JSON_DEPTH} deep`);
    } else if (code === 0x5d || code === 0x7d) {
      depth--;
    } else if (code === 0x2c && ++values > limit) {
      throw new SyntaxError(`more than ${Math.floor(limit)} values`);
    }
  }
  return JSON.parse(text) as unknown;
}

/** Index of the closing quote; the text's end where there is none. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}
