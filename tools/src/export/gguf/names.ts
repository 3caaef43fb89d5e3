import type { ModelPart } from '@speedq/model';

export function isVision(part: ModelPart): boolean {
  return part === 'vision' || part === 'projector';
}

const WHOLE: Readonly<Record<string, string>> = {
  'language_model.model.embed_tokens.weight': 'token_embd.weight',
  'language_model.model.norm.weight': 'output_norm.weight',
  'language_model.lm_head.weight': 'output.weight',
  'vision_tower.embeddings.cls_token': 'v.class_embd',
  'vision_tower.embeddings.position_embeddings': 'v.position_embd.weight',
  'vision_tower.embeddings.patch_embeddings.projection.weight': 'v.patch_embd.weight',
  'vision_tower.embeddings.patch_embeddings.projection.bias': 'v.patch_embd.bias',
};

const PROJECTOR: Readonly<Record<string, string>> = { layer_norm: '0', linear_1: '1', linear_2: '3' };

const LANGUAGE: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

const VISION: Readonly<Record<string, string>> = {
  layernorm_before: 'ln1',
  'attention.q_proj': 'attn_q',
  'attention.k_proj': 'attn_k',
  'attention.v_proj': 'attn_v',
  'attention.projection_layer': 'attn_out',
  layernorm_after: 'ln2',
  'mlp.fc1': 'ffn_up',
  'mlp.fc2': 'ffn_down',
};

/** llama.cpp's name of a canonical tensor; undefined for one that it does not have. */
export function ggufName(name: string): string | undefined {
  if (Object.hasOwn(WHOLE, name)) return WHOLE[name];
  const projector = /^multi_modal_projector\.(\w+)\.(weight|bias)$/.exec(name);
  if (projector !== null) return `mm.model.mlp.${PROJECTOR[projector[1]]}.${projector[2]}`;
  const scale = /^vision_tower\.encoder\.layer\.(\d+)\.lambda_([12])$/.exec(name);
  if (scale !== null) return `v.blk.${scale[1]}.ls${scale[2]}.weight`;
  const language = /^language_model\.model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name);
  if (language !== null) return `blk.${language[1]}.${LANGUAGE[language[2]]}.${language[3]}`;
  const vision = /^vision_tower\.encoder\.layer\.(\d+)\.(.+)\.(weight|bias)$/.exec(name);
  return vision === null ? undefined : `v.blk.${vision[1]}.${VISION[vision[2]]}.${vision[3]}`;
}
