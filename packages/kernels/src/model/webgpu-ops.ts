import type { CausalAttention, Epilogue, Linear, Norm, Ops, PatchEmbedding } from '@speedq/model';
import type { Recorder, Value } from '../engine/recorder.ts';
import { recordAttention, recordCausalAttention } from '../ops/attention/record.ts';
import { recordEmbedding } from '../ops/embedding/record.ts';
import { recordImageMerge } from '../ops/image-merge/record.ts';
import type { LinearInputs } from '../ops/linear/record.ts';
import { recordLinear } from '../ops/linear/record.ts';
import { recordNorm } from '../ops/norm/record.ts';
import { recordPatchEmbedding } from '../ops/patch-embedding/record.ts';
import { recordUnshuffle } from '../ops/pixel-unshuffle/record.ts';
import type { LayerCache } from '../ops/rope-cache/record.ts';
import { recordRope } from '../ops/rope-cache/record.ts';
import { recordLastRow } from '../ops/select-row/record.ts';
import type { WeightStore } from '../weights/store.ts';

export interface OpsContext {
  readonly recorder: Recorder;
  readonly weights: WeightStore;
  /** By layer. */
  readonly caches: readonly LayerCache[];
  /** Pixels of a tile's side. */
  readonly tileSize: number;
  /** Logits of every position instead of the last. */
  readonly allRows: boolean;
}

/** The model's operations as dispatches of a plan. */
export class WebGPUOps implements Ops<Value> {
  readonly #context: OpsContext;

  constructor(context: OpsContext) {
    this.#context = context;
  }

  patchEmbed(pixels: Value, { weight, bias, classToken, position, patchSize }: PatchEmbedding): Value {
    const { recorder, weights, tileSize } = this.#context;
    const stored = {
      weight: weights.matrix(weight),
      bias: weights.vector(bias),
      classToken: weights.vector(classToken),
      position: weights.vector(position),
    };
    return recordPatchEmbedding(recorder, pixels, stored, { tileSize, patchSize });
  }

  normLinear(x: Value, norm: Norm, linears: readonly Linear[]): Value[] {
    const normed = this.norm(x, norm);
    return linears.map((linear) => this.project(normed, linear));
  }

  linear(x: Value, linear: Linear, epilogue: Epilogue<Value> = {}): Value {
    const { scale, residual } = epilogue;
    const scales = scale === undefined ? undefined : this.#context.weights.vector(scale);
    return this.project(x, linear, { scale: scales, residual });
  }

  attention(
    q: Value,
    k: Value,
    v: Value,
    heads: { readonly heads: number; readonly headDim: number },
  ): Value {
    return recordAttention(this.#context.recorder, q, k, v, { ...heads, tokens: q.rows.perCount });
  }

  causalAttention(q: Value, k: Value, v: Value, options: CausalAttention): Value {
    const { recorder, caches } = this.#context;
    const cache = caches[options.layer];
    const rotated = recordRope(recorder, q, k, v, cache, options);
    return recordCausalAttention(recorder, rotated, cache, options);
  }

  gatedMlp(
    x: Value,
    norm: Norm,
    { gate, up, down }: { readonly gate: Linear; readonly up: Linear; readonly down: Linear },
  ): Value {
    const normed = this.norm(x, norm);
    const hidden = this.project(normed, up, { gate: this.project(normed, gate) });
    return this.project(hidden, down, { residual: x });
  }

  pixelUnshuffle(x: Value, { grid }: { readonly grid: number }): Value {
    return recordUnshuffle(this.#context.recorder, x, grid);
  }

  embed(ids: Value, weight: string): Value {
    return recordEmbedding(this.#context.recorder, ids, this.#context.weights.matrix(weight));
  }

  mergeImageFeatures(embeddings: Value, ids: Value, features: Value, imageTokenId: number): Value {
    return recordImageMerge(this.#context.recorder, embeddings, ids, features, imageTokenId);
  }

  selectRows(x: Value): Value {
    return this.#context.allRows ? x : recordLastRow(this.#context.recorder, x);
  }

  private norm(x: Value, { kind, weight, bias, epsilon }: Norm): Value {
    const { recorder, weights } = this.#context;
    const stored = {
      weight: weights.vector(weight),
      bias: bias === undefined ? undefined : weights.vector(bias),
    };
    return recordNorm(recorder, x, { kind, epsilon, ...stored });
  }

  private project(x: Value, { weight, bias, activation }: Linear, inputs: LinearInputs = {}): Value {
    const { recorder, weights } = this.#context;
    return recordLinear(recorder, x, weights.matrix(weight), {
      ...inputs,
      activation,
      bias: bias === undefined ? undefined : weights.vector(bias),
    });
  }
}
