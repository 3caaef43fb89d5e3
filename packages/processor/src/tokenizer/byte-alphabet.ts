/**
 * The byte-level alphabet: every byte is written as one printable character, so that token strings never hold
 * blanks or control characters. Printable Latin-1 stands for itself; the other 68 bytes become U+0100 upward.
 */

const isPrintable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);

/** byte → character. */
export const byteToChar: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
})();

/** character code (UTF-16 unit) → byte. */
const charToByte: ReadonlyMap<number, number> = new Map(
  byteToChar.map((char, byte) => [char.charCodeAt(0), byte]),
);

/** The 256 characters in the order of their code points: the first 256 ids of a vocabulary trained here. */
export const alphabetInOrder: readonly string[] = [...byteToChar].sort(
  (a, b) => a.charCodeAt(0) - b.charCodeAt(0),
);

/** Bytes a token string stands for, or undefined if it holds a character outside the alphabet. */
export function tokenBytes(token: string): Uint8Array | undefined {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = charToByte.get(token.charCodeAt(i));
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
