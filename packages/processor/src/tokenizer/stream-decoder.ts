import type { DecodeOptions, Tokenizer } from './tokenizer.ts';

/** Turns ids into text one by one, holding back the bytes of a character until it is complete. */
export interface StreamDecoder {
  /** Text that became certain with this id; often empty within an emoji or a Chinese character. */
  push(id: number): string;
  /** What is left at the end: U+FFFD if the last character never became complete. */
  finish(): string;
}

/** The pieces concatenate to what `tokenizer.decode` gives for the same ids. Special tokens are skipped by default. */
export function createStreamDecoder(
  tokenizer: Tokenizer,
  { skipSpecial = true }: DecodeOptions = {},
): StreamDecoder {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    push: (id) =>
      skipSpecial && tokenizer.isSpecial(id) ? '' : decoder.decode(tokenizer.bytesOf(id), { stream: true }),
    finish: () => decoder.decode(),
  };
}
