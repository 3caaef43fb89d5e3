/** Tokens that give a prompt its structure. Text from a person or a data set must never produce them. */
export const CONTROL_TOKENS = {
  endOfText: '<|endoftext|>',
  messageStart: '<|im_start|>',
  messageEnd: '<|im_end|>',
  imageStart: '<img>',
  imageEnd: '</img>',
  imageContext: '<IMG_CONTEXT>',
} as const;

/**
 * Grounding markup: special tokens that occur inside questions and answers (`<ref>dog</ref><box>…</box>`) and
 * carry no structure. They are recognised in message text, as the reference recognises them.
 */
export const MARKUP_TOKENS: readonly string[] = ['<ref>', '</ref>', '<box>', '</box>', '<quad>', '</quad>'];
