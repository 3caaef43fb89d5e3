import { SpeedqError } from '@speedq/format';
import { CONTROL_TOKENS } from '@speedq/processor';
import type { PackedModelFolder } from '../../model-folder.ts';
import { readTokenizerJson } from '../../packing/metadata.ts';
import type { GgufValue } from './gguf-file.ts';

const u32 = (value: number): GgufValue => ({ type: 'u32', value });
const f32 = (value: number): GgufValue => ({ type: 'f32', value });
const string = (value: string): GgufValue => ({ type: 'string', value });

/** Of the layout of quantized blocks: llama.cpp's current one. */
const QUANTIZATION_VERSION = 2;
/** The projector of InternVL as it names it. */
const PROJECTOR = 'internvl';

/** llama.cpp's kinds of tokens. */
const NORMAL = 1;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;

/** What llama.cpp's Qwen2 needs to know, with tokenizer and chat template. */
export async function languageMetadata(folder: PackedModelFolder): Promise<Map<string, GgufValue>> {
  const { config, name, weights } = folder;
  const language = config.language;
  return new Map<string, GgufValue>([
    ['general.architecture', string('qwen2')],
    ['general.type', string('model')],
    ['general.name', string(name)],
    ['general.quantization_version', u32(QUANTIZATION_VERSION)],
    ['qwen2.block_count', u32(language.numLayers)],
    ['qwen2.context_length', u32(language.maxPositionEmbeddings)],
    ['qwen2.embedding_length', u32(language.hiddenSize)],
    ['qwen2.feed_forward_length', u32(language.intermediateSize)],
    ['qwen2.attention.head_count', u32(language.numHeads)],
    ['qwen2.attention.head_count_kv', u32(language.numKeyValueHeads)],
    ['qwen2.attention.layer_norm_rms_epsilon', f32(language.rmsNormEps)],
    ['qwen2.rope.freq_base', f32(language.ropeTheta)],
    ['qwen2.vocab_size', u32(language.vocabSize)],
    ...(await tokenizerMetadata(folder)),
    ['tokenizer.chat_template', string(chatTemplate(weights.manifest.prompt.systemPrompt))],
  ]);
}

/** What its vision part, "clip", needs to know. */
export function projectorMetadata({ config, name, weights }: PackedModelFolder): Map<string, GgufValue> {
  const { vision, language } = config;
  const { mean, std } = weights.manifest.normalization;
  const { maxTiles, minTiles } = weights.manifest.tiling;
  return new Map<string, GgufValue>([
    ['general.architecture', string('clip')],
    ['general.type', string('mmproj')],
    ['general.name', string(name)],
    ['general.quantization_version', u32(QUANTIZATION_VERSION)],
    ['clip.has_vision_encoder', { type: 'bool', value: true }],
    ['clip.projector_type', string(PROJECTOR)],
    ['clip.use_gelu', { type: 'bool', value: true }],
    ['clip.vision.image_size', u32(vision.imageSize)],
    ['clip.vision.patch_size', u32(vision.patchSize)],
    ['clip.vision.embedding_length', u32(vision.hiddenSize)],
    ['clip.vision.feed_forward_length', u32(vision.intermediateSize)],
    ['clip.vision.block_count', u32(vision.numLayers)],
    ['clip.vision.attention.head_count', u32(vision.numHeads)],
    ['clip.vision.attention.layer_norm_epsilon', f32(vision.layerNormEps)],
    ['clip.vision.projection_dim', u32(language.hiddenSize)],
    // Two by two patches become one token.
    ['clip.vision.projector.scale_factor', u32(2)],
    ['clip.vision.preproc_min_tiles', u32(minTiles)],
    ['clip.vision.preproc_max_tiles', u32(maxTiles)],
    ['clip.vision.image_mean', { type: 'f32s', value: mean }],
    ['clip.vision.image_std', { type: 'f32s', value: std }],
  ]);
}

interface TokenizerParts {
  readonly model: { readonly vocab: Readonly<Record<string, number>>; readonly merges: readonly unknown[] };
  readonly added_tokens: readonly {
    readonly id: number;
    readonly content: string;
    readonly special: boolean;
  }[];
}

async function tokenizerMetadata(folder: PackedModelFolder): Promise<[string, GgufValue][]> {
  const { vocabSize } = folder.config.language;
  const json = (await readTokenizerJson(folder)) as TokenizerParts | undefined;
  if (json === undefined) {
    throw new SpeedqError(
      'invalid-tokenizer',
      `${folder.path} has no tokenizer: expected tokenizer.json, or vocab.json with merges.txt.`,
    );
  }
  // Rows of the table that no token names.
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const kinds = new Array<number>(vocabSize).fill(UNUSED);
  const set = (id: number, token: string, kind: number): void => {
    if (id < vocabSize) [tokens[id], kinds[id]] = [token, kind];
  };
  for (const [token, id] of Object.entries(json.model.vocab)) set(id, token, NORMAL);
  for (const { id, content, special } of json.added_tokens)
    set(id, content, special ? CONTROL : USER_DEFINED);
  const merges = json.model.merges.map((pair) => (Array.isArray(pair) ? pair.join(' ') : String(pair)));
  const end = json.added_tokens.find(({ content }) => content === CONTROL_TOKENS.messageEnd)?.id;
  return [
    ['tokenizer.ggml.model', string('gpt2')],
    ['tokenizer.ggml.pre', string('qwen2')],
    ['tokenizer.ggml.tokens', { type: 'strings', value: tokens }],
    ['tokenizer.ggml.token_type', { type: 'i32s', value: kinds }],
    ['tokenizer.ggml.merges', { type: 'strings', value: merges }],
    ['tokenizer.ggml.eos_token_id', u32(end ?? folder.weights.manifest.stopTokenIds[0])],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: false }],
  ];
}

/** ChatML with the system prompt the model was trained with, where it has one. */
function chatTemplate(systemPrompt: string | null): string {
  const system =
    systemPrompt === null
      ? ''
      : `{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\n' + ${JSON.stringify(systemPrompt)} + ` +
        `'<|im_end|>\\n' }}{% endif %}`;
  return (
    `${system}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + ` +
    `'<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`
  );
}
