/**
 * A tokenizer of the released models' class and size without their vocabulary: single bytes, fillers up to the
 * released number of entries, and the released special tokens under their own ids. Text becomes one id a byte.
 */

const VOCABULARY = 151_643;

const ADDED_TOKENS = [
  '<|endoftext|>',
  '<|im_start|>',
  '<|im_end|>',
  '<|object_ref_start|>',
  '<|object_ref_end|>',
  '<|box_start|>',
  '<|box_end|>',
  '<|quad_start|>',
  '<|quad_end|>',
  '<|vision_start|>',
  '<|vision_end|>',
  '<|vision_pad|>',
  '<|image_pad|>',
  '<|video_pad|>',
  '<tool_call>',
  '</tool_call>',
  '<|fim_prefix|>',
  '<|fim_middle|>',
  '<|fim_suffix|>',
  '<|fim_pad|>',
  '<|repo_name|>',
  '<|file_sep|>',
  '<img>',
  '</img>',
  '<IMG_CONTEXT>',
  '<quad>',
  '</quad>',
  '<ref>',
  '</ref>',
  '<box>',
  '</box>',
];

export interface SyntheticVocabulary {
  readonly vocab: Readonly<Record<string, number>>;
  readonly merges: string;
  readonly addedTokens: Readonly<Record<string, number>>;
}

export function syntheticVocabulary(): SyntheticVocabulary {
  const vocab: Record<string, number> = {};
  byteCharacters().forEach((character, id) => (vocab[character] = id));
  for (let id = 256; id < VOCABULARY; id++) vocab[`filler${id}`] = id;
  return {
    vocab,
    merges: '#version: 0.2\n',
    addedTokens: Object.fromEntries(ADDED_TOKENS.map((token, index) => [token, VOCABULARY + index])),
  };
}

/** The printable character that stands for each byte in byte-level BPE: itself, or the next from U+0100 on. */
function byteCharacters(): string[] {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
}
