import type { CausalAttention, Epilogue, Linear, Norm, Ops, PatchEmbedding } from '@speedq/model';
import { HEAD } from '@speedq/model';
import type { Recorder, Value } from '../engine/recorder.ts';
import type { Candidates } from '../ops/argmax/record.ts';
import { recordAttention, recordCausalAttention } from '../ops/attention/record.ts';
import { recordEmbedding } from '../ops/embedding/record.ts';
import { recordImageMerge } from '../ops/image-merge/record.ts';
import type { LinearInputs } from '../ops/linear/record.ts';
import { isSingleRow, recordGated, recordHead, recordLinear } from '../ops/linear/record.ts';
import { recordNorm } from '../ops/norm/record.ts';
import { recordPatchEmbedding } from '../ops/patch-embedding/record.ts';
import { recordUnshuffle } from '../ops/pixel-unshuffle/record.ts';
import type { LayerCache } from '../ops/rope-cache/record.ts';
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

/**
 * The model's operations as dispatches of a plan. A residual is overwritten by the sum it goes into: the forward
 * pass uses none after that.
 */
export class WebGPUOps implements Ops<Value> {
  readonly #context: OpsContext;
  #candidates: Candidates | undefined;

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

  /** Several linears give one activation, of which their results are slices. */
  normLinear(x: Value, norm: Norm, linears: readonly Linear[]): Value[] {
    const { recorder, weights } = this.#context;
    const matrices = weights.joined(linears.map(({ weight }) => weight));
    const fuses = norm.kind === 'rms' && isSingleRow(recorder, x);
    const input = fuses ? x : this.norm(x, norm);
    const inputs: LinearInputs = {
      norm: fuses ? { epsilon: norm.epsilon, weight: weights.vector(norm.weight) } : undefined,
      bias: weights.joinedVector(linears.map(({ weight, bias }) => ({ rowsOf: weight, name: bias }))),
      activation: linears[0].activation,
    };
    if (linears.length === 1 && linears[0].weight === HEAD && isSingleRow(recorder, x)) {
      const { logits, candidates } = recordHead(recorder, input, matrices[0], inputs);
      this.#candidates = candidates;
      return [logits];
    }
    const y = recordLinear(recorder, input, matrices, inputs);
    if (linears.length === 1) return [y];
    if (linears.some(({ activation }) => activation !== undefined)) {
      throw new Error('Joined linears share no activation');
    }
    let offset = 0;
    return linears.map(({ weight }) => {
      const slice = recorder.slice(y, weight, offset, weights.rowsOf(weight));
      offset += slice.width;
      return slice;
    });
  }

  /** What the head found on the way; undefined where it computed several rows. */
  get candidates(): Candidates | undefined {
    return this.#candidates;
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
    return recordAttention(this.#context.recorder, joinedSource(q, k, v), {
      ...heads,
      tokens: q.rows.perCount,
    });
  }

  causalAttention(q: Value, k: Value, v: Value, options: CausalAttention): Value {
    const { recorder, caches } = this.#context;
    return recordCausalAttention(recorder, joinedSource(q, k, v), caches[options.layer], options);
  }

  gatedMlp(
    x: Value,
    norm: Norm,
    { gate, up, down }: { readonly gate: Linear; readonly up: Linear; readonly down: Linear },
  ): Value {
    const { recorder, weights } = this.#context;
    const [joined, ...others] = weights.joined([gate.weight, up.weight]);
    const fuses = others.length === 0 && norm.kind === 'rms' && isSingleRow(recorder, x);
    const input = fuses ? x : this.norm(x, norm);
    const fused = fuses ? { epsilon: norm.epsilon, weight: weights.vector(norm.weight) } : undefined;
    const hidden =
      others.length === 0
        ? recordGated(recorder, input, joined, { norm: fused })
        : this.project(input, up, { gate: this.project(input, gate) });
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

/** The activation that q, k and v are slices of, in this order and without gaps. */
function joinedSource(q: Value, k: Value, v: Value): Value {
  const source = q.slice?.of;
  const [kAt, vAt] = [q.width, q.width + k.width];
  if (!source || q.slice.offset !== 0 || k.slice?.offset !== kAt || v.slice?.offset !== vAt) {
    throw new Error('The attention takes q, k and v as one normLinear gives them');
  }
  return source;
}
