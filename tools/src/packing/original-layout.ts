import type { ParameterSpec } from '@speedq/model';

/** A tensor of an original-layout checkpoint: canonical ones of equal shape, one below the other. */
export interface OriginalTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly sources: readonly string[];
}

const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^vision_tower\.embeddings\.cls_token$/, 'vision_model.embeddings.class_embedding'],
  [/^vision_tower\.embeddings\.position_embeddings$/, 'vision_model.embeddings.position_embedding'],
  [/^vision_tower\.embeddings\.patch_embeddings\.projection\./, 'vision_model.embeddings.patch_embedding.'],
  [/^vision_tower\.encoder\.layer\.(\d+)\.lambda_/, 'vision_model.encoder.layers.$1.ls'],
  [
    /^vision_tower\.encoder\.layer\.(\d+)\.attention\.projection_layer\./,
    'vision_model.encoder.layers.$1.attn.proj.',
  ],
  [/^vision_tower\.encoder\.layer\.(\d+)\.layernorm_before\./, 'vision_model.encoder.layers.$1.norm1.'],
  [/^vision_tower\.encoder\.layer\.(\d+)\.layernorm_after\./, 'vision_model.encoder.layers.$1.norm2.'],
  [/^vision_tower\.encoder\.layer\.(\d+)\.mlp\./, 'vision_model.encoder.layers.$1.mlp.'],
  [/^multi_modal_projector\.layer_norm\./, 'mlp1.0.'],
  [/^multi_modal_projector\.linear_1\./, 'mlp1.1.'],
  [/^multi_modal_projector\.linear_2\./, 'mlp1.3.'],
];

/** The tensors of a model as `InternVLChatModel` names them, q, k and v of the vision encoder fused. */
export function originalLayout(parameters: readonly ParameterSpec[]): OriginalTensor[] {
  return parameters.flatMap(({ name, shape }): OriginalTensor[] => {
    const attention = /^vision_tower\.encoder\.layer\.(\d+)\.attention\.([qkv])_proj\.(weight|bias)$/.exec(
      name,
    );
    if (attention === null) {
      const rule = NAMES.find(([pattern]) => pattern.test(name));
      return [{ name: rule === undefined ? name : name.replace(...rule), shape, sources: [name] }];
    }
    const [, layer, projection, kind] = attention;
    if (projection !== 'q') return [];
    return [
      {
        name: `vision_model.encoder.layers.${layer}.attn.qkv.${kind}`,
        shape: [3 * shape[0], ...shape.slice(1)],
        sources: ['q', 'k', 'v'].map((letter) => name.replace('.q_proj.', `.${letter}_proj.`)),
      },
    ];
  });
}
