/**
 * The embedded model's architecture: InternVL3 at under 10 million parameters. Linear outputs are multiples
 * of 128 and inputs of 128, so that every scheme (groups of 16, 32 and 128) applies to every linear.
 */
export function picoConfig(tokens: {
  readonly vocabulary: number;
  readonly imageContext: number;
  readonly messageEnd: number;
  readonly endOfText: number;
}) {
  return {
    architectures: ['InternVLForConditionalGeneration'],
    model_type: 'internvl',
    dtype: 'bfloat16',
    downsample_ratio: 0.5,
    image_seq_length: 36,
    image_token_id: tokens.imageContext,
    projector_hidden_act: 'gelu',
    tie_word_embeddings: false,
    vision_feature_layer: -1,
    vision_feature_select_strategy: 'default',
    text_config: {
      model_type: 'qwen2',
      hidden_act: 'silu',
      hidden_size: 256,
      intermediate_size: 640,
      num_hidden_layers: 6,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      vocab_size: tokens.vocabulary,
      max_position_embeddings: 1024,
      rms_norm_eps: 1e-6,
      rope_theta: 1_000_000,
      rope_scaling: null,
      tie_word_embeddings: false,
      attention_dropout: 0,
      use_sliding_window: false,
      use_cache: true,
      bos_token_id: tokens.endOfText,
      eos_token_id: tokens.messageEnd,
    },
    vision_config: {
      model_type: 'internvl_vision',
      hidden_size: 256,
      intermediate_size: 768,
      num_hidden_layers: 5,
      num_attention_heads: 4,
      num_channels: 3,
      image_size: [168, 168],
      patch_size: [14, 14],
      attention_bias: true,
      attention_dropout: 0,
      hidden_act: 'gelu',
      hidden_dropout_prob: 0,
      layer_norm_eps: 1e-6,
      layer_scale_init_value: 1,
      norm_type: 'layer_norm',
      projection_dropout: 0,
      use_absolute_position_embeddings: true,
      use_mask_token: false,
      use_mean_pooling: true,
      use_qk_norm: false,
    },
  };
}
