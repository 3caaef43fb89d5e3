/** Where a canonical tensor lies inside a stored one: third `index` of `of` equal blocks of rows. */
export interface RowBlock {
  readonly index: number;
  readonly of: number;
}

export interface CanonicalName {
  readonly name: string;
  readonly block?: RowBlock;
}

/** Buffers some exporters and trainers write next to the parameters; they are recomputed, not read. */
const BUFFERS = [/\.rotary_emb\.inv_freq$/, /\.embeddings\.position_ids$/, /\.weight_quantizer\./];

/** Parts of an original-layout vision layer that map one to one. */
const ORIGINAL_VISION_LAYER: Readonly<Record<string, string>> = {
  ls1: 'lambda_1',
  ls2: 'lambda_2',
  'attn.proj.weight': 'attention.projection_layer.weight',
  'attn.proj.bias': 'attention.projection_layer.bias',
  'norm1.weight': 'layernorm_before.weight',
  'norm1.bias': 'layernorm_before.bias',
  'norm2.weight': 'layernorm_after.weight',
  'norm2.bias': 'layernorm_after.bias',
  'mlp.fc1.weight': 'mlp.fc1.weight',
  'mlp.fc1.bias': 'mlp.fc1.bias',
  'mlp.fc2.weight': 'mlp.fc2.weight',
  'mlp.fc2.bias': 'mlp.fc2.bias',
};

const ORIGINAL_EMBEDDINGS: Readonly<Record<string, string>> = {
  class_embedding: 'cls_token',
  position_embedding: 'position_embeddings',
  'patch_embedding.weight': 'patch_embeddings.projection.weight',
  'patch_embedding.bias': 'patch_embeddings.projection.bias',
};

/** `mlp1` is a torch Sequential; its entry 2 is the activation. */
const ORIGINAL_PROJECTOR: Readonly<Record<string, string>> = {
  0: 'layer_norm',
  1: 'linear_1',
  3: 'linear_2',
};

/**
 * The canonical names a stored tensor holds: one, three for a fused qkv of the original layout, none for a
 * buffer. A name that nobody knows is returned as it is and will not be found in the inventory.
 *
 * Known namings: Hugging Face on disk (canonical), Hugging Face in memory (`model.…`, `lm_head.weight`), and
 * the original `InternVLChatModel`.
 */
export function canonicalNames(stored: string): CanonicalName[] {
  if (BUFFERS.some((pattern) => pattern.test(stored))) return [];
  return originalVisionNames(stored) ?? originalProjectorNames(stored) ?? [{ name: huggingFaceName(stored) }];
}

function huggingFaceName(stored: string): string {
  const name = stored.replace(/^model\.(?=(vision_tower|multi_modal_projector|language_model)\.)/, '');
  if (name === 'lm_head.weight') return 'language_model.lm_head.weight';
  return name.replace(/^language_model\.(?!model\.|lm_head\.)/, 'language_model.model.');
}

function originalVisionNames(stored: string): CanonicalName[] | undefined {
  const embeddings = /^vision_model\.embeddings\.(.+)$/.exec(stored);
  if (embeddings !== null) return renamed('vision_tower.embeddings', ORIGINAL_EMBEDDINGS, embeddings[1]);
  const layer = /^vision_model\.encoder\.layers\.(\d+)\.(.+)$/.exec(stored);
  if (layer === null) return undefined;
  const prefix = `vision_tower.encoder.layer.${layer[1]}`;
  const fused = /^attn\.qkv\.(weight|bias)$/.exec(layer[2]);
  if (fused === null) return renamed(prefix, ORIGINAL_VISION_LAYER, layer[2]);
  return ['q_proj', 'k_proj', 'v_proj'].map((name, index) => ({
    name: `${prefix}.attention.${name}.${fused[1]}`,
    block: { index, of: 3 },
  }));
}

function originalProjectorNames(stored: string): CanonicalName[] | undefined {
  const match = /^mlp1\.(\d+)\.(weight|bias)$/.exec(stored);
  if (match === null || !Object.hasOwn(ORIGINAL_PROJECTOR, match[1])) return undefined;
  return [{ name: `multi_modal_projector.${ORIGINAL_PROJECTOR[match[1]]}.${match[2]}` }];
}

function renamed(
  prefix: string,
  names: Readonly<Record<string, string>>,
  rest: string,
): CanonicalName[] | undefined {
  return Object.hasOwn(names, rest) ? [{ name: `${prefix}.${names[rest]}` }] : undefined;
}
