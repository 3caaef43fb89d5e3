import type { InternVLConfig } from '@speedq/model';

/** config.json of the released models, cut to fewer layers; numbers from their published configurations. */

export type ReleasedSize = '1b' | '2b';

export interface ReleasedShape {
  readonly size: ReleasedSize;
  readonly layout: InternVLConfig['layout'];
  /** Default: as released. */
  readonly visionLayers?: number;
  readonly languageLayers?: number;
}

export const RELEASED_VOCABULARY = 151_674;

const LANGUAGE = {
  '1b': { hidden_size: 896, intermediate_size: 4864, num_hidden_layers: 24, num_attention_heads: 14 },
  '2b': { hidden_size: 1536, intermediate_size: 8960, num_hidden_layers: 28, num_attention_heads: 12 },
} as const;

export function releasedConfig({ size, layout, visionLayers = 24, languageLayers }: ReleasedShape): object {
  const language = {
    architectures: ['Qwen2ForCausalLM'],
    model_type: 'qwen2',
    ...LANGUAGE[size],
    num_hidden_layers: languageLayers ?? LANGUAGE[size].num_hidden_layers,
    num_key_value_heads: 2,
    vocab_size: RELEASED_VOCABULARY,
    max_position_embeddings: 32_768,
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    rope_scaling: { type: 'dynamic', rope_type: 'dynamic', factor: 2 },
    hidden_act: 'silu',
    use_sliding_window: false,
    tie_word_embeddings: false,
    bos_token_id: 151_643,
  };
  const vision = {
    hidden_size: 1024,
    intermediate_size: 4096,
    num_hidden_layers: visionLayers,
    num_attention_heads: 16,
    num_channels: 3,
    hidden_act: 'gelu',
    norm_type: 'layer_norm',
    layer_norm_eps: 1e-6,
  };
  if (layout === 'original') {
    return {
      architectures: ['InternVLChatModel'],
      model_type: 'internvl_chat',
      downsample_ratio: 0.5,
      ps_version: 'v2',
      select_layer: -1,
      template: 'internvl2_5',
      system_message: null,
      force_image_size: 448,
      dynamic_image_size: true,
      use_thumbnail: true,
      min_dynamic_patch: 1,
      max_dynamic_patch: 12,
      pad2square: false,
      tie_word_embeddings: false,
      torch_dtype: 'bfloat16',
      llm_config: { ...language, eos_token_id: 151_643 },
      vision_config: {
        ...vision,
        architectures: ['InternVisionModel'],
        model_type: 'intern_vit_6b',
        image_size: 448,
        patch_size: 14,
        qkv_bias: true,
        qk_normalization: false,
      },
    };
  }
  return {
    architectures: ['InternVLForConditionalGeneration'],
    model_type: 'internvl',
    downsample_ratio: 0.5,
    image_seq_length: 256,
    image_token_id: 151_667,
    projector_hidden_act: 'gelu',
    vision_feature_layer: -1,
    vision_feature_select_strategy: 'default',
    torch_dtype: 'bfloat16',
    text_config: { ...language, eos_token_id: 151_645 },
    vision_config: {
      ...vision,
      model_type: 'internvl_vision',
      image_size: [448, 448],
      patch_size: [14, 14],
      attention_bias: true,
      use_qk_norm: false,
      use_mask_token: false,
      use_mean_pooling: true,
      use_absolute_position_embeddings: true,
    },
  };
}

/** The Hugging Face layout's preprocessor settings; the original one has them in config.json. */
export const RELEASED_PREPROCESSOR = {
  image_processor_type: 'GotOcr2ImageProcessorFast',
  processor_class: 'InternVLProcessor',
  crop_to_patches: false,
  do_convert_rgb: true,
  do_normalize: true,
  do_rescale: true,
  do_resize: true,
  image_mean: [0.485, 0.456, 0.406],
  image_std: [0.229, 0.224, 0.225],
  max_patches: 12,
  min_patches: 1,
  resample: 3,
  rescale_factor: 1 / 255,
  size: { height: 448, width: 448 },
} as const;
