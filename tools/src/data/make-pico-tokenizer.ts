/**
 * Writes the tokenizer of pico: `npx tsx tools/src/data/make-pico-tokenizer.ts [folder]`.
 * Weights are trained for one vocabulary: after a change to questions or kinds, this and a new training belong
 * together.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { trainByteLevelBpe } from '@speedq/processor';
import { tokenizerCorpus } from './tokenizer-corpus.ts';

/** A multiple of 128, so that the embedding and the head can be quantized by every scheme. */
const vocabSize = 1536;

/** Qwen2's and InternVL's added tokens, in the order of InternVL3's ids; false: not special there. */
const addedTokens: readonly (readonly [content: string, special: boolean])[] = [
  ['<|endoftext|>', true],
  ['<|im_start|>', true],
  ['<|im_end|>', true],
  ['<|object_ref_start|>', true],
  ['<|object_ref_end|>', true],
  ['<|box_start|>', true],
  ['<|box_end|>', true],
  ['<|quad_start|>', true],
  ['<|quad_end|>', true],
  ['<|vision_start|>', true],
  ['<|vision_end|>', true],
  ['<|vision_pad|>', true],
  ['<|image_pad|>', true],
  ['<|video_pad|>', true],
  ['<tool_call>', false],
  ['</tool_call>', false],
  ['<|fim_prefix|>', false],
  ['<|fim_middle|>', false],
  ['<|fim_suffix|>', false],
  ['<|fim_pad|>', false],
  ['<|repo_name|>', false],
  ['<|file_sep|>', false],
  ['<img>', true],
  ['</img>', true],
  ['<IMG_CONTEXT>', true],
  ['<quad>', true],
  ['</quad>', true],
  ['<ref>', true],
  ['</ref>', true],
  ['<box>', true],
  ['</box>', true],
];

/** As Hugging Face-layout InternVL3: no system prompt of its own; a picture is one placeholder and a line break. */
const chatTemplate =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}" +
  "{% if message['content'] is string %}{{ message['content'] }}{% else %}" +
  "{% for content in message['content'] %}" +
  "{% if content['type'] == 'image' %}{{ '<IMG_CONTEXT>\\n' }}" +
  "{% elif content['type'] == 'text' %}{{ content['text'] }}{% endif %}" +
  '{% endfor %}{% endif %}' +
  "{{ '<|im_end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

const folder = process.argv[2] ?? fileURLToPath(new URL('../../models/pico', import.meta.url));
const trained = trainByteLevelBpe(tokenizerCorpus(), {
  vocabSize,
  specialTokens: addedTokens.map(([content, special]) => ({ content, special })),
});
if (trained.vocabSize !== vocabSize) {
  throw new Error(
    `The corpus gives ${trained.vocabSize} tokens of the ${vocabSize} wanted: lower vocabSize.`,
  );
}

const first = vocabSize - addedTokens.length;
const addedTokensDecoder = Object.fromEntries(
  addedTokens.map(([content, special], index) => [
    `${first + index}`,
    { content, lstrip: false, normalized: false, rstrip: false, single_word: false, special },
  ]),
);
const specialTokens = addedTokens.filter(([, special]) => special).map(([content]) => content);
const special = (content: string): object => ({
  content,
  lstrip: false,
  normalized: false,
  rstrip: false,
  single_word: false,
});

const files: Readonly<Record<string, string>> = {
  'tokenizer.json': json(trained.tokenizerJson),
  'vocab.json': JSON.stringify(trained.vocabJson),
  'merges.txt': trained.mergesText,
  'added_tokens.json': json(trained.addedTokensJson),
  'special_tokens_map.json': json({
    additional_special_tokens: specialTokens.slice(1),
    eos_token: special('<|im_end|>'),
    pad_token: special('<|endoftext|>'),
  }),
  'tokenizer_config.json': json({
    add_bos_token: false,
    add_prefix_space: false,
    added_tokens_decoder: addedTokensDecoder,
    additional_special_tokens: specialTokens.slice(1),
    bos_token: null,
    chat_template: chatTemplate,
    clean_up_tokenization_spaces: false,
    eos_token: '<|im_end|>',
    errors: 'replace',
    model_max_length: 2048,
    pad_token: '<|endoftext|>',
    split_special_tokens: false,
    tokenizer_class: 'Qwen2Tokenizer',
    unk_token: null,
  }),
};

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 1)}\n`;
}

mkdirSync(folder, { recursive: true });
for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
process.stderr.write(
  `${vocabSize} tokens, ${trained.tokenizerJson.model.merges.length} merges → ${folder}\n`,
);
