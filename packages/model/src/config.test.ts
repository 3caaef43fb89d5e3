import { readFileSync } from 'node:fs';
import { SpeedqError } from '@speedq/format';
import { describe, expect, test } from 'vitest';
import { parseConfig } from './config.ts';

type Json = Record<string, unknown>;

function golden(name: string): Json {
  const path = new URL(`../../../tests/goldens/internvl/${name}/config.json`, import.meta.url);
  return JSON.parse(readFileSync(path, 'utf8')) as Json;
}

/** A copy with keys set (undefined removes); 'text_config.head_dim' reaches into sub-objects. */
function changed(json: Json, changes: Json): Json {
  const copy = structuredClone(json);
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split('.');
    const last = keys.pop()!;
    const target = keys.reduce((object, key) => object[key] as Json, copy);
    if (value === undefined) delete target[last];
    else target[last] = value;
  }
  return copy;
}

function errorOf(json: unknown): SpeedqError {
  try {
    parseConfig(json);
  } catch (error) {
    expect(error).toBeInstanceOf(SpeedqError);
    return error as SpeedqError;
  }
  throw new Error('parsed without an error');
}

const huggingFace = golden('micro');
const original = golden('micro-original-layout');

describe('layouts and spellings', () => {
  test('Hugging Face layout as transformers 5 writes it', () => {
    expect(parseConfig(huggingFace)).toEqual({
      layout: 'huggingface',
      vision: {
        hiddenSize: 64,
        numLayers: 2,
        numHeads: 4,
        intermediateSize: 128,
        imageSize: 56,
        patchSize: 14,
        layerNormEps: 1e-6,
      },
      language: {
        hiddenSize: 64,
        numLayers: 2,
        numHeads: 4,
        numKeyValueHeads: 2,
        headDim: 16,
        intermediateSize: 160,
        vocabSize: 256,
        rmsNormEps: 1e-6,
        ropeTheta: 1e6,
        maxPositionEmbeddings: 512,
      },
      tokensPerTile: 4,
      imageTokenId: 247,
      mayTieHead: false,
    });
  });

  test('the original layout is the same model; its image token comes from the tokenizer', () => {
    const expected = { ...parseConfig(huggingFace), layout: 'original' };
    expect(parseConfig(original, { imageTokenId: 247 })).toEqual(expected);
    expect(parseConfig(original).imageTokenId).toBe(151667);
    expect(parseConfig({ ...original, img_context_token_id: 5 }).imageTokenId).toBe(5);
  });

  test('rope_theta beside rope_scaling, as transformers 4 writes it', () => {
    const old = changed(huggingFace, {
      'text_config.rope_parameters': undefined,
      'text_config.rope_theta': 12345,
      'text_config.rope_scaling': { type: 'dynamic', factor: 2 },
      dtype: undefined,
      torch_dtype: 'bfloat16',
    });
    expect(parseConfig(old).language.ropeTheta).toBe(12345);
  });

  test('sizes as numbers or pairs, head_dim given or derived', () => {
    const json = changed(huggingFace, {
      'vision_config.image_size': 56,
      'vision_config.patch_size': 14,
      'text_config.head_dim': 32,
    });
    expect(parseConfig(json).vision).toEqual(parseConfig(huggingFace).vision);
    expect(parseConfig(json).language.headDim).toBe(32);
  });

  test('the head may be tied unless a configuration says otherwise', () => {
    const tie = (top?: boolean, text?: boolean) =>
      parseConfig(changed(huggingFace, { tie_word_embeddings: top, 'text_config.tie_word_embeddings': text }))
        .mayTieHead;
    expect([tie(), tie(true, false), tie(undefined, true)]).toEqual([true, true, true]);
    expect([tie(false, false), tie(undefined, false), tie(false)]).toEqual([false, false, false]);
  });

  test('a packed model is read like the model it was made of', () => {
    const packed = { ...huggingFace, quantization_config: { quant_method: 'speedq' } };
    expect(parseConfig(packed)).toEqual(parseConfig(huggingFace));
  });
});

describe('what is refused, by key', () => {
  test.each<[string, unknown]>([
    ['model_type', 'llava'],
    ['text_config', undefined],
    ['text_config.hidden_size', undefined],
    ['text_config.hidden_size', '64'],
    ['text_config.num_hidden_layers', 1e9],
    ['text_config.num_hidden_layers', -1],
    ['text_config.num_key_value_heads', 3],
    ['text_config.model_type', 'llama'],
    ['text_config.hidden_act', 'gelu'],
    ['text_config.use_sliding_window', true],
    ['text_config.rope_parameters', { rope_type: 'yarn', rope_theta: 1e6 }],
    ['text_config.rope_parameters', { rope_type: 'default' }],
    ['text_config.head_dim', 15],
    ['text_config.rms_norm_eps', 0],
    ['vision_config.use_qk_norm', true],
    ['vision_config.norm_type', 'rms_norm'],
    ['vision_config.use_mean_pooling', false],
    ['vision_config.use_absolute_position_embeddings', false],
    ['vision_config.attention_bias', false],
    ['vision_config.attention_bias', undefined],
    ['vision_config.hidden_act', 'silu'],
    ['vision_config.num_attention_heads', 5],
    ['vision_config.image_size', [56, 70]],
    ['vision_config.image_size', 42],
    ['vision_config.num_channels', 1],
    ['projector_hidden_act', 'relu'],
    ['vision_feature_layer', -2],
    ['vision_feature_select_strategy', 'full'],
    ['downsample_ratio', 0.25],
    ['image_seq_length', 256],
    ['image_token_id', undefined],
    ['quantization_config', { quant_method: 'bitsandbytes' }],
  ])('Hugging Face layout: %s = %j', (key, value) => {
    const error = errorOf(changed(huggingFace, { [key]: value }));
    expect(error.code).toBe('invalid-config');
    expect(error.message).toContain(key === 'text_config.rope_parameters' ? 'rope_' : key);
  });

  test.each<[string, unknown]>([
    ['ps_version', 'v1'],
    ['ps_version', undefined],
    ['select_layer', -4],
    ['pad2square', true],
    ['use_llm_lora', 16],
    ['force_image_size', 448],
    ['llm_config', undefined],
    ['vision_config.qkv_bias', false],
    ['vision_config.qk_normalization', true],
  ])('original layout: %s = %j', (key, value) => {
    const error = errorOf(changed(original, { [key]: value }));
    expect(error.code).toBe('invalid-config');
    expect(error.message).toContain(key);
  });

  test.each([[null], [[]], ['text'], [{}]])('%j is no configuration', (json) => {
    expect(errorOf(json).code).toBe('invalid-config');
  });
});
