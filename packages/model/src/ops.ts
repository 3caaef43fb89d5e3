/**
 * The grain at which the model is written (docs/architecture.md). A backend implements `Ops<V>`
 * with its own handle type V; it records or emits, it does not compute here. Weights are passed by
 * canonical name (inventory.ts); the backend knows how each is stored (float, packed, fake-quantized).
 *
 * Activations are rows of features: vision [tiles, tokens, hidden], language [..., tokens, hidden].
 */

/** y = activation(x · Wᵀ + b), W stored [out, in]. */
export interface Linear {
  readonly weight: string;
  readonly bias?: string;
  readonly activation?: 'gelu';
}

/** 'layer': (x-μ)/√(σ²+ε)·w + b with biased variance; 'rms': x/√(mean(x²)+ε)·w. Statistics in f32. */
export interface Norm {
  readonly kind: 'layer' | 'rms';
  readonly weight: string;
  readonly bias?: string;
  readonly epsilon: number;
}

/** Applied to a linear's result: y ⊙ scale (per feature, InternViT's layer scale), then + residual. */
export interface Epilogue<V> {
  readonly scale?: string;
  readonly residual?: V;
}

export interface PatchEmbedding {
  readonly weight: string;
  readonly bias: string;
  readonly classToken: string;
  readonly position: string;
  readonly patchSize: number;
}

export interface CausalAttention {
  /** Selects the KV cache this attention appends to and reads. */
  readonly layer: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  readonly ropeTheta: number;
}

export interface Ops<V> {
  /** pixels [tiles, 3, S, S] → [tiles, 1 + (S/patch)², hidden]; class token first, positions added. */
  patchEmbed(pixels: V, options: PatchEmbedding): V;

  /** The norm of x, then each linear of the normed rows. Fuses where the backend can. */
  normLinear(x: V, norm: Norm, linears: readonly Linear[]): V[];

  linear(x: V, linear: Linear, epilogue?: Epilogue<V>): V;

  /** Bidirectional attention within each tile: softmax(q·kᵀ/√headDim)·v; heads concatenated. */
  attention(q: V, k: V, v: V, options: { readonly heads: number; readonly headDim: number }): V;

  /**
   * Rotates q and k (half-split RoPE, positions past…past+T-1), appends k and v to the layer's cache,
   * attends causally over the cache. Query head h reads key-value head ⌊h / (heads/keyValueHeads)⌋.
   */
  causalAttention(q: V, k: V, v: V, options: CausalAttention): V;

  /** x + down(silu(gate(n)) ⊙ up(n)) with n = norm(x). */
  gatedMlp(
    x: V,
    norm: Norm,
    linears: { readonly gate: Linear; readonly up: Linear; readonly down: Linear },
  ): V;

  /**
   * [tiles, 1 + grid², C] → [tiles, (grid/2)², 4C]: the class token dropped, each 2×2 neighbourhood
   * concatenated in the order (0,0), (0,1), (1,0), (1,1); InternVL's ps_version v2.
   */
  pixelUnshuffle(x: V, options: { readonly grid: number }): V;

  /** ids [T] → rows of the table [T, hidden]. */
  embed(ids: V, weight: string): V;

  /** Overwrites the rows whose id is `imageTokenId`, in order, by the rows of `features`. */
  mergeImageFeatures(embeddings: V, ids: V, features: V, imageTokenId: number): V;

  /** Only the rows whose logits are wanted (the last one in decoding). */
  selectRows(x: V): V;
}
