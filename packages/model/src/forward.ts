import type { InternVLConfig } from './config.ts';
import type { Norm, Ops } from './ops.ts';

/**
 * The forward pass of InternVL3, written once over `Ops`. Each function is a block a backend may
 * compile by itself: training runs them one session at a time, the WebGPU runtime as one plan.
 * Equations: InternViT-300M (pre-norm, layer scale), pixel unshuffle + MLP projector, Qwen2.5.
 */

/** pixels [tiles, 3, S, S] → [tiles, 1 + (S/patch)², hidden]. */
export function visionEmbed<V>(ops: Ops<V>, { vision }: InternVLConfig, pixels: V): V {
  const prefix = 'vision_tower.embeddings';
  return ops.patchEmbed(pixels, {
    weight: `${prefix}.patch_embeddings.projection.weight`,
    bias: `${prefix}.patch_embeddings.projection.bias`,
    classToken: `${prefix}.cls_token`,
    position: `${prefix}.position_embeddings`,
    patchSize: vision.patchSize,
  });
}

/** One InternViT layer: [tiles, tokens, hidden] → same shape. */
export function visionBlock<V>(ops: Ops<V>, { vision }: InternVLConfig, layer: number, x: V): V {
  const prefix = `vision_tower.encoder.layer.${layer}`;
  const linear = (name: string) => ({ weight: `${prefix}.${name}.weight`, bias: `${prefix}.${name}.bias` });
  const norm = (name: string): Norm => ({ kind: 'layer', ...linear(name), epsilon: vision.layerNormEps });
  const [q, k, v] = ops.normLinear(x, norm('layernorm_before'), [
    linear('attention.q_proj'),
    linear('attention.k_proj'),
    linear('attention.v_proj'),
  ]);
  const heads = { heads: vision.numHeads, headDim: vision.hiddenSize / vision.numHeads };
  const attended = ops.attention(q, k, v, heads);
  const x1 = ops.linear(attended, linear('attention.projection_layer'), {
    scale: `${prefix}.lambda_1`,
    residual: x,
  });
  const [hidden] = ops.normLinear(x1, norm('layernorm_after'), [
    { ...linear('mlp.fc1'), activation: 'gelu' },
  ]);
  return ops.linear(hidden, linear('mlp.fc2'), { scale: `${prefix}.lambda_2`, residual: x1 });
}

/** The projector's LayerNorm keeps PyTorch's default, unlike the encoder's 1e-6. */
const PROJECTOR_EPSILON = 1e-5;

/** Encoder output [tiles, 1 + grid², C] → language features [tiles, (grid/2)², H]. */
export function projector<V>(ops: Ops<V>, { vision }: InternVLConfig, x: V): V {
  const prefix = 'multi_modal_projector';
  const linear = (name: string) => ({ weight: `${prefix}.${name}.weight`, bias: `${prefix}.${name}.bias` });
  const unshuffled = ops.pixelUnshuffle(x, { grid: vision.imageSize / vision.patchSize });
  const norm: Norm = { kind: 'layer', ...linear('layer_norm'), epsilon: PROJECTOR_EPSILON };
  const [hidden] = ops.normLinear(unshuffled, norm, [{ ...linear('linear_1'), activation: 'gelu' }]);
  return ops.linear(hidden, linear('linear_2'));
}

/** The whole picture side: pixels [tiles, 3, S, S] → features [tiles, (grid/2)², H]. */
export function imageFeatures<V>(ops: Ops<V>, config: InternVLConfig, pixels: V): V {
  let x = visionEmbed(ops, config, pixels);
  for (let layer = 0; layer < config.vision.numLayers; layer++) x = visionBlock(ops, config, layer, x);
  return projector(ops, config, x);
}

export const EMBEDDING = 'language_model.model.embed_tokens.weight';
export const HEAD = 'language_model.lm_head.weight';

/** ids → embeddings, the image placeholders replaced by `features` where there are any. */
export function languageEmbed<V>(ops: Ops<V>, config: InternVLConfig, ids: V, features?: V): V {
  const embeddings = ops.embed(ids, EMBEDDING);
  return features === undefined
    ? embeddings
    : ops.mergeImageFeatures(embeddings, ids, features, config.imageTokenId);
}

/** One Qwen2 decoder layer. */
export function languageBlock<V>(ops: Ops<V>, { language }: InternVLConfig, layer: number, x: V): V {
  const prefix = `language_model.model.layers.${layer}`;
  const projection = (name: string) => ({
    weight: `${prefix}.self_attn.${name}.weight`,
    bias: `${prefix}.self_attn.${name}.bias`,
  });
  const norm = (name: string): Norm => ({
    kind: 'rms',
    weight: `${prefix}.${name}.weight`,
    epsilon: language.rmsNormEps,
  });
  const [q, k, v] = ops.normLinear(x, norm('input_layernorm'), [
    projection('q_proj'),
    projection('k_proj'),
    projection('v_proj'),
  ]);
  const attended = ops.causalAttention(q, k, v, {
    layer,
    heads: language.numHeads,
    keyValueHeads: language.numKeyValueHeads,
    headDim: language.headDim,
    ropeTheta: language.ropeTheta,
  });
  const x1 = ops.linear(attended, { weight: `${prefix}.self_attn.o_proj.weight` }, { residual: x });
  return ops.gatedMlp(x1, norm('post_attention_layernorm'), {
    gate: { weight: `${prefix}.mlp.gate_proj.weight` },
    up: { weight: `${prefix}.mlp.up_proj.weight` },
    down: { weight: `${prefix}.mlp.down_proj.weight` },
  });
}

/** Final norm and head: logits of the selected rows. */
export function languageHead<V>(ops: Ops<V>, { language }: InternVLConfig, x: V): V {
  const norm: Norm = {
    kind: 'rms',
    weight: 'language_model.model.norm.weight',
    epsilon: language.rmsNormEps,
  };
  const [logits] = ops.normLinear(ops.selectRows(x), norm, [{ weight: HEAD }]);
  return logits;
}

/** Token ids (and image features) → logits of the selected rows. */
export function languageModel<V>(ops: Ops<V>, config: InternVLConfig, ids: V, features?: V): V {
  let x = languageEmbed(ops, config, ids, features);
  for (let layer = 0; layer < config.language.numLayers; layer++) x = languageBlock(ops, config, layer, x);
  return languageHead(ops, config, x);
}
