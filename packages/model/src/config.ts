import { ConfigReader } from './config-reader.ts';
import { SpeedqError } from '@speedq/format';

/** InternVL architecture, normalised from either configuration layout (see parseConfig). */
export interface InternVLConfig {
  /** Layout the folder was written in: tells the default chat template and the tensor names on disk. */
  readonly layout: 'huggingface' | 'original';
  readonly vision: {
    readonly hiddenSize: number;
    readonly numLayers: number;
    readonly numHeads: number;
    readonly intermediateSize: number;
    readonly imageSize: number;
    readonly patchSize: number;
    readonly layerNormEps: number;
  };
  readonly language: {
    readonly hiddenSize: number;
    readonly numLayers: number;
    readonly numHeads: number;
    readonly numKeyValueHeads: number;
    readonly headDim: number;
    readonly intermediateSize: number;
    readonly vocabSize: number;
    readonly rmsNormEps: number;
    readonly ropeTheta: number;
    readonly maxPositionEmbeddings: number;
  };
  /** Visual tokens per tile: (imageSize / patchSize / 2)². */
  readonly tokensPerTile: number;
  readonly imageTokenId: number;
  /**
   * A head tensor always wins; without one the embedding table is the head, unless the configuration says
   * the two differ (then the checkpoint is incomplete).
   */
  readonly mayTieHead: boolean;
}

/** `<IMG_CONTEXT>` of every released InternVL3; original-layout configurations do not carry it. */
const IMAGE_TOKEN_ID = 151667;

/**
 * Bounds that no model this project can run exceeds; a configuration beyond them is damaged, and is refused
 * before anything is allocated by its numbers.
 */
const MAX_LAYERS = 512;
const MAX_SIZE = 1 << 20;
const MAX_VOCABULARY = 1 << 24;

const INTEGER_SIZE = { min: 1, max: MAX_SIZE };

/**
 * Reads config.json of an InternVL3 folder in the Hugging Face layout (`model_type: internvl`, the spellings
 * of transformers 4 and 5) or the original one (`internvl_chat`).
 *
 * `imageTokenId` is for original-layout folders, where only the tokenizer knows it.
 *
 * Throws `invalid-config` naming the key, for what is missing or malformed and for what is not implemented:
 * a model that would silently compute something else must not load.
 */
export function parseConfig(
  json: unknown,
  { imageTokenId }: { readonly imageTokenId?: number } = {},
): InternVLConfig {
  const root = ConfigReader.root(json);
  const modelType = root.string('model_type');
  if (modelType !== 'internvl' && modelType !== 'internvl_chat') {
    throw new SpeedqError(
      'invalid-config',
      `config.json: model_type is ${JSON.stringify(modelType)}; expected "internvl" (Hugging Face layout) or ` +
        '"internvl_chat" (original layout). Choose a folder of an InternVL3 model.',
    );
  }
  const quantization = root.optionalObject('quantization_config');
  quantization?.expect('quant_method', ['speedq'], {
    advice: 'Start from the float checkpoint: weights quantized by other tools cannot be read.',
  });
  const layout = modelType === 'internvl' ? 'huggingface' : 'original';
  const vision = visionConfig(root.object('vision_config'), layout);
  const languageReader = root.object(layout === 'huggingface' ? 'text_config' : 'llm_config');
  const language = languageConfig(languageReader);

  // 'v1' (the class default) leaves rows and columns of the unshuffled grid swapped.
  if (layout === 'original') root.expect('ps_version', ['v2']);
  root.expect('downsample_ratio', [0.5]);
  if (layout === 'huggingface') {
    root.expect('projector_hidden_act', ['gelu'], { absent: true });
    root.expect('vision_feature_layer', [-1], { absent: true });
    root.expect('vision_feature_select_strategy', ['default'], { absent: true });
  } else {
    root.expect('select_layer', [-1], { absent: true });
    root.expect('pad2square', [false], { absent: true });
    const advice = 'Merge the adapters into the weights first.';
    root.expect('use_backbone_lora', [0, false], { absent: true, advice });
    root.expect('use_llm_lora', [0, false], { absent: true, advice });
  }

  const grid = vision.imageSize / vision.patchSize;
  if (!Number.isInteger(grid) || grid % 2 !== 0) {
    throw new SpeedqError(
      'invalid-config',
      `config.json: vision_config.image_size is ${vision.imageSize} with patch_size ${vision.patchSize}; ` +
        'expected an even number of patches a side (2×2 patches become one visual token).',
    );
  }
  const tokensPerTile = (grid / 2) ** 2;
  root.expect('image_seq_length', [tokensPerTile], { absent: true });
  root.expect('force_image_size', [vision.imageSize, null], { absent: true });

  const idKey = layout === 'huggingface' ? 'image_token_id' : 'img_context_token_id';
  const vocabulary = { min: 0, max: MAX_VOCABULARY };
  const idInConfig =
    layout === 'original' && root.isAbsent(idKey) ? undefined : root.integer(idKey, vocabulary);
  return {
    layout,
    vision,
    language,
    tokensPerTile,
    imageTokenId: idInConfig ?? imageTokenId ?? IMAGE_TOKEN_ID,
    mayTieHead: mayTieHead(root, languageReader),
  };
}

function visionConfig(vision: ConfigReader, layout: InternVLConfig['layout']): InternVLConfig['vision'] {
  if (layout === 'huggingface') {
    // Absent means false to the Hugging Face class, whose model would then drop the biases.
    vision.expect('attention_bias', [true], {
      advice: 'If the checkpoint has q, k and v biases (InternVL3 does), write "attention_bias": true.',
    });
    vision.expect('use_qk_norm', [false], { absent: true });
    // True means that there is no norm after the last layer.
    vision.expect('use_mean_pooling', [true], { absent: true });
    vision.expect('use_mask_token', [false], { absent: true });
    vision.expect('use_absolute_position_embeddings', [true], { absent: true });
  } else {
    vision.expect('qkv_bias', [true], {
      advice: 'If the checkpoint has qkv biases (InternVL3 does), write "qkv_bias": true.',
    });
    vision.expect('qk_normalization', [false], { absent: true });
    vision.expect('use_moe', [false], { absent: true });
  }
  vision.expect('norm_type', ['layer_norm'], { absent: true });
  vision.expect('hidden_act', ['gelu'], { absent: true });
  vision.expect('num_channels', [3], { absent: true });
  const hiddenSize = vision.integer('hidden_size', INTEGER_SIZE);
  const numHeads = vision.integer('num_attention_heads', INTEGER_SIZE);
  vision.check(hiddenSize % numHeads === 0, 'num_attention_heads', `a divisor of hidden_size ${hiddenSize}`);
  return {
    hiddenSize,
    numLayers: vision.integer('num_hidden_layers', { min: 1, max: MAX_LAYERS }),
    numHeads,
    intermediateSize: vision.integer('intermediate_size', INTEGER_SIZE),
    imageSize: vision.squareSize('image_size', 1 << 14),
    patchSize: vision.squareSize('patch_size', 1 << 14),
    layerNormEps: vision.positive('layer_norm_eps', 1e-6),
  };
}

function languageConfig(text: ConfigReader): InternVLConfig['language'] {
  text.expect('model_type', ['qwen2'], {
    advice: 'Only InternVL models on Qwen2.5 are supported (InternVL3-1B and -2B).',
  });
  text.expect('hidden_act', ['silu'], { absent: true });
  text.expect('use_sliding_window', [false], { absent: true });
  const hiddenSize = text.integer('hidden_size', INTEGER_SIZE);
  const numHeads = text.integer('num_attention_heads', INTEGER_SIZE);
  const numKeyValueHeads = text.integer('num_key_value_heads', INTEGER_SIZE);
  text.check(numHeads % numKeyValueHeads === 0, 'num_key_value_heads', `a divisor of ${numHeads} heads`);
  if (text.isAbsent('head_dim')) {
    text.check(hiddenSize % numHeads === 0, 'num_attention_heads', `a divisor of hidden_size ${hiddenSize}`);
  }
  const headDim = text.isAbsent('head_dim') ? hiddenSize / numHeads : text.integer('head_dim', INTEGER_SIZE);
  // RoPE turns pairs of features.
  text.check(headDim % 2 === 0, 'head_dim', 'an even number');
  return {
    hiddenSize,
    numLayers: text.integer('num_hidden_layers', { min: 1, max: MAX_LAYERS }),
    numHeads,
    numKeyValueHeads,
    headDim,
    intermediateSize: text.integer('intermediate_size', INTEGER_SIZE),
    vocabSize: text.integer('vocab_size', { min: 1, max: MAX_VOCABULARY }),
    rmsNormEps: text.positive('rms_norm_eps', 1e-6),
    ropeTheta: ropeTheta(text),
    maxPositionEmbeddings: text.integer('max_position_embeddings', { min: 1, max: MAX_VOCABULARY }),
  };
}

/**
 * transformers 5 nests the base in `rope_parameters`, 4 has `rope_theta` beside `rope_scaling`. Dynamic
 * scaling changes nothing up to max_position_embeddings, which is as far as this project goes.
 */
function ropeTheta(text: ConfigReader): number {
  const parameters = text.optionalObject('rope_parameters');
  for (const scaling of [parameters, text.optionalObject('rope_scaling')]) {
    for (const key of ['rope_type', 'type']) {
      scaling?.expect(key, ['default', 'dynamic'], { absent: true });
    }
  }
  const theta = parameters === undefined || parameters.isAbsent('rope_theta') ? text : parameters;
  return theta.positive('rope_theta');
}

/** transformers 5 defaults the top-level key to true, so there only an explicit value means something. */
function mayTieHead(root: ConfigReader, text: ConfigReader): boolean {
  const key = 'tie_word_embeddings';
  const values = [root, text].flatMap((reader) => (reader.isAbsent(key) ? [] : [reader.boolean(key)]));
  return values.length === 0 || values.includes(true);
}
