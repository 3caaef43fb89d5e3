import type { CausalAttention, Epilogue, Linear, Norm, Ops, PatchEmbedding } from '@speedq/model';
import type { Dim, Graph, Tensor } from './graph.ts';
import { gelu, layerNorm, rmsNorm, rotate, scaledAttention, silu } from './composites.ts';
import * as op from './primitives.ts';

export interface OnnxOpsOptions {
  /** The tensor of a parameter: a graph input in training, a constant in an exported model. */
  readonly parameter: (name: string) => Tensor;
  /** What a linear multiplies by; fake quantization goes here. Default: the parameter itself. */
  readonly linearWeight?: (name: string) => Tensor;
  readonly vision?: { readonly tiles: Dim; readonly tokens: number };
  readonly language?: LanguageContext;
}

/** Shapes and per-token inputs of the language side. Rows of activations are [batch · length]. */
export interface LanguageContext {
  readonly batch: number;
  readonly length: Dim;
  /** Rotation of each row, [batch, length, 1, headDim/2]. */
  readonly cos: Tensor;
  readonly sin: Tensor;
  /** Added to attention scores: [batch, 1, length, past + length]. */
  readonly mask: Tensor;
  /** Integers [rows]: the feature row that replaces each embedding (any where there is none). */
  readonly imageIndex?: Tensor;
  /** float [rows, 1]: 1 where it does. */
  readonly imageMask?: Tensor;
  /** Integers: the rows `selectRows` keeps; all by default. */
  readonly selected?: Tensor;
  /**
   * Called with each layer's attention probabilities, [batch, keyValueHeads, group · length, past + length]:
   * the rows of a query head follow those of the one before it in its group.
   */
  readonly observeAttention?: (layer: number, probabilities: Tensor) => void;
  /** Decoding: past keys and values of a layer [batch, kv, past, d]; present ones are handed back. */
  readonly cache?: {
    readonly past: (layer: number) => { readonly key: Tensor; readonly value: Tensor };
    readonly present: (layer: number, key: Tensor, value: Tensor) => void;
    readonly total: Dim;
  };
}

/**
 * `Ops` as ONNX nodes, each fused operation decomposed. All activations are two-dimensional
 * ([rows, features]), so that linears are Gemm nodes, forward and backward.
 */
export class OnnxOps implements Ops<Tensor> {
  private groupedMask?: Tensor;

  constructor(
    private readonly g: Graph,
    private readonly options: OnnxOpsOptions,
  ) {}

  patchEmbed(pixels: Tensor, { weight, bias, classToken, position, patchSize }: PatchEmbedding): Tensor {
    const { g } = this;
    const { tiles } = this.vision;
    const grid = (pixels.shape[2] as number) / patchSize;
    const kernel = this.parameter(weight);
    const hidden = kernel.shape[0] as number;
    const inputs = 3 * patchSize * patchSize;
    const cut = op.reshape(g, pixels, [tiles, 3, grid, patchSize, grid, patchSize]);
    const patches = op.reshape(g, op.transpose(g, cut, [0, 2, 4, 1, 3, 5]), [
      rows(tiles, grid * grid),
      inputs,
    ]);
    const embedded = op.gemm(g, patches, op.reshape(g, kernel, [hidden, inputs]), {
      bias: this.parameter(bias),
      transB: true,
    });
    const spaced = op.padFront(g, op.reshape(g, embedded, [tiles, grid * grid, hidden]), 1, 1);
    const zeros = g.constant(new Float32Array(grid * grid * hidden), [1, grid * grid, hidden]);
    const offsets = op.add(g, this.parameter(position), op.concat(g, [this.parameter(classToken), zeros], 1));
    return op.reshape(g, op.add(g, spaced, offsets), [rows(tiles, grid * grid + 1), hidden]);
  }

  normLinear(x: Tensor, norm: Norm, linears: readonly Linear[]): Tensor[] {
    const normed = this.norm(x, norm);
    return linears.map((linear) => this.linear(normed, linear));
  }

  linear(
    x: Tensor,
    { weight, bias, activation }: Linear,
    { scale, residual }: Epilogue<Tensor> = {},
  ): Tensor {
    const { g } = this;
    const matrix = this.options.linearWeight?.(weight) ?? this.parameter(weight);
    let y = op.gemm(g, x, matrix, {
      bias: bias === undefined ? undefined : this.parameter(bias),
      transB: true,
    });
    if (activation === 'gelu') y = gelu(g, y);
    if (scale !== undefined) y = op.mul(g, y, this.parameter(scale));
    return residual ? op.add(g, residual, y) : y;
  }

  attention(q: Tensor, k: Tensor, v: Tensor, { heads, headDim }: { heads: number; headDim: number }): Tensor {
    const { g } = this;
    const { tiles, tokens } = this.vision;
    const split = (x: Tensor, perm: number[]) =>
      op.transpose(g, op.reshape(g, x, [tiles, tokens, heads, headDim]), perm);
    const context = scaledAttention(
      g,
      split(q, [0, 2, 1, 3]),
      split(k, [0, 2, 3, 1]),
      split(v, [0, 2, 1, 3]),
    );
    return op.reshape(g, op.transpose(g, context, [0, 2, 1, 3]), [rows(tiles, tokens), heads * headDim]);
  }

  causalAttention(q: Tensor, k: Tensor, v: Tensor, options: CausalAttention): Tensor {
    const { g } = this;
    const { layer, heads, keyValueHeads, headDim } = options;
    const { batch, length, cos, sin, cache } = this.language;
    const group = heads / keyValueHeads;
    const byHead = (x: Tensor, count: number) => op.reshape(g, x, [batch, length, count, headDim]);
    const rotated = op.reshape(g, rotate(g, byHead(q, heads), cos, sin), [
      batch,
      length,
      keyValueHeads,
      group,
      headDim,
    ]);
    // The query heads that share a key-value head become rows of one product: nothing is repeated.
    const queries = op.reshape(g, op.transpose(g, rotated, [0, 2, 3, 1, 4]), [
      batch,
      keyValueHeads,
      rows(length, group),
      headDim,
    ]);
    let key = op.transpose(g, rotate(g, byHead(k, keyValueHeads), cos, sin), [0, 2, 1, 3]);
    let value = op.transpose(g, byHead(v, keyValueHeads), [0, 2, 1, 3]);
    if (cache) {
      const past = cache.past(layer);
      key = op.concat(g, [past.key, key], 2, cache.total);
      value = op.concat(g, [past.value, value], 2, cache.total);
      cache.present(layer, key, value);
    }
    const context = scaledAttention(
      g,
      queries,
      op.transpose(g, key, [0, 1, 3, 2]),
      value,
      this.maskFor(group),
      (probabilities) => this.language.observeAttention?.(layer, probabilities),
    );
    const perHead = op.reshape(g, context, [batch, keyValueHeads, group, length, headDim]);
    return op.reshape(g, op.transpose(g, perHead, [0, 3, 1, 2, 4]), [rows(length, batch), heads * headDim]);
  }

  gatedMlp(x: Tensor, norm: Norm, { gate, up, down }: { gate: Linear; up: Linear; down: Linear }): Tensor {
    const [gated, raised] = this.normLinear(x, norm, [gate, up]);
    return this.linear(op.mul(this.g, silu(this.g, gated), raised), down, { residual: x });
  }

  pixelUnshuffle(x: Tensor, { grid }: { grid: number }): Tensor {
    const { g } = this;
    const { tiles, tokens } = this.vision;
    const channels = x.shape[1] as number;
    const [, patches] = op.split(g, op.reshape(g, x, [tiles, tokens, channels]), [1, tokens - 1], 1);
    const half = grid / 2;
    const blocks = op.reshape(g, patches, [tiles, half, 2, half, 2, channels]);
    const gathered = op.transpose(g, blocks, [0, 1, 3, 2, 4, 5]);
    return op.reshape(g, gathered, [rows(tiles, half * half), 4 * channels]);
  }

  embed(ids: Tensor, weight: string): Tensor {
    return op.gatherRows(this.g, this.parameter(weight), ids);
  }

  mergeImageFeatures(embeddings: Tensor, _ids: Tensor, features: Tensor): Tensor {
    const { g } = this;
    const { imageIndex, imageMask } = this.language;
    if (!imageIndex || !imageMask)
      throw new Error('OnnxOps: mergeImageFeatures needs imageIndex and imageMask.');
    const placed = op.mul(g, op.gatherRows(g, features, imageIndex), imageMask);
    return op.add(g, op.mul(g, embeddings, op.sub(g, g.scalar(1), imageMask)), placed);
  }

  selectRows(x: Tensor): Tensor {
    const selected = this.options.language?.selected;
    return selected ? op.gatherRows(this.g, x, selected) : x;
  }

  norm(x: Tensor, { kind, weight, bias, epsilon }: Norm): Tensor {
    const scale = this.parameter(weight);
    return kind === 'rms'
      ? rmsNorm(this.g, x, scale, epsilon)
      : layerNorm(this.g, x, scale, this.parameter(bias!), epsilon);
  }

  private parameter(name: string): Tensor {
    return this.options.parameter(name);
  }

  private get vision() {
    return this.options.vision!;
  }

  private get language() {
    return this.options.language!;
  }

  /** The mask for `group` stacked query heads; the same for every layer. */
  private maskFor(group: number): Tensor {
    const { mask, length } = this.language;
    this.groupedMask ??=
      group === 1 ? mask : op.concat(this.g, new Array<Tensor>(group).fill(mask), 2, rows(length, group));
    return this.groupedMask;
  }
}

/** A product of dimensions that may be symbolic. */
function rows(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a * b;
  if (a === 1) return b;
  return b === 1 ? a : `${a}*${b}`;
}
