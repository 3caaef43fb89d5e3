/** Python's; an escaped line break is nothing. */
const ESCAPES: Readonly<Record<string, string>> = {
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  "'": "'",
  '"': '"',
  '\n': '',
};
const ESCAPED = /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([^]))/g;

/**
 * A Python literal of a list of strings, as tables hold lists; undefined where the text is not one. Scanned by
 * hand: a regular expression would recurse over pictures of megabytes.
 */
export function parseStringList(text: string): string[] | undefined {
  const trimmed = text.trim();
  if (!trimmed.startsWith('[') || !trimmed.endsWith(']')) return undefined;
  const body = trimmed.slice(1, -1);
  const items: string[] = [];
  let at = skipSpace(body, 0);
  while (at < body.length) {
    const quote = body[at];
    if (quote !== "'" && quote !== '"') return undefined;
    const end = closingQuote(body, at + 1, quote);
    if (end < 0) return undefined;
    items.push(unescapeText(body.slice(at + 1, end)));
    at = skipSpace(body, end + 1);
    if (at === body.length) break;
    if (body[at] !== ',') return undefined;
    at = skipSpace(body, at + 1);
  }
  return items;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at].trim() === '') at++;
  return at;
}

function closingQuote(text: string, from: number, quote: string): number {
  for (let end = text.indexOf(quote, from); end >= 0; end = text.indexOf(quote, end + 1)) {
    let backslashes = 0;
    while (end - 1 - backslashes >= from && text[end - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return -1;
}

function unescapeText(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replace(ESCAPED, (whole: string, ...groups: (string | undefined)[]) => {
    const [hex, wide, wider, octal, one] = groups;
    const code = hex ?? wide ?? wider;
    if (code !== undefined) return String.fromCodePoint(parseInt(code, 16));
    if (octal !== undefined) return String.fromCodePoint(parseInt(octal, 8));
    // Python keeps the backslash of an escape it does not know.
    return ESCAPES[one!] ?? whole;
  });
}
