import { SpeedqError } from '@speedq/format';
import type { CausalAttention, Epilogue, Linear, Norm, Ops, PatchEmbedding } from '@speedq/model';
import { readRow } from '../weights/packed-matrix.ts';
import type { WeightStore } from '../weights/store.ts';
import { causalAttention, fullAttention } from './attention.ts';
import type { AttentionMachine, KeyValueCache, Rotation } from './attention.ts';
import { allocateRows, multiply } from './linear.ts';
import type { Activation } from './linear.ts';
import { normRows } from './norm.ts';

/** What one run of the language side is about. */
export interface LanguageRun {
  readonly ids: Uint32Array;
  /** Tokens in the cache before it. */
  readonly past: number;
  readonly rotation: Rotation;
  readonly cache: KeyValueCache;
  /** Rows [image tokens of this run, hidden] for the image placeholders. */
  readonly features: Float32Array;
}

/** `Ops`, computed at once in the heap's work space; one tile at a time on the picture side. */
export class WasmOps implements Ops<Activation> {
  private readonly machine: AttentionMachine;
  private readonly weights: WeightStore;
  private readonly run: LanguageRun | undefined;

  constructor(machine: AttentionMachine, weights: WeightStore, run?: LanguageRun) {
    this.machine = machine;
    this.weights = weights;
    this.run = run;
  }

  patchEmbed(pixels: Activation, options: PatchEmbedding): Activation {
    const { heap, kernels } = this.machine;
    const { patchSize } = options;
    const size = pixels.columns;
    const grid = size / patchSize;
    const matrix = this.weights.matrix(options.weight);
    const patches = allocateRows(heap, grid * grid, 3 * patchSize * patchSize);
    const { f32 } = heap;
    for (let patch = 0; patch < patches.rows; patch++) {
      const [py, px] = [Math.floor(patch / grid) * patchSize, (patch % grid) * patchSize];
      let to = (patches.data >>> 2) + patch * patches.stride;
      for (let channel = 0; channel < 3; channel++) {
        for (let y = 0; y < patchSize; y++, to += patchSize) {
          const from = (pixels.data >>> 2) + (channel * size + py + y) * pixels.stride + px;
          f32.copyWithin(to, from, from + patchSize);
        }
      }
    }
    const bias = this.weights.vector(options.bias);
    const [embedded] = multiply(heap, kernels, patches, [{ matrix, bias }]);
    const tokens = allocateRows(heap, patches.rows + 1, matrix.rows);
    const view = heap.f32;
    const classToken = this.weights.vector(options.classToken) >>> 2;
    const position = this.weights.vector(options.position) >>> 2;
    for (let token = 0; token < tokens.rows; token++) {
      const from = token === 0 ? classToken : (embedded.data >>> 2) + (token - 1) * embedded.stride;
      const to = (tokens.data >>> 2) + token * tokens.stride;
      for (let i = 0; i < tokens.columns; i++) {
        view[to + i] = view[from + i] + view[position + token * tokens.columns + i];
      }
    }
    return tokens;
  }

  normLinear(x: Activation, norm: Norm, linears: readonly Linear[]): Activation[] {
    return this.linears(this.norm(x, norm), linears);
  }

  linear(x: Activation, linear: Linear, { scale, residual }: Epilogue<Activation> = {}): Activation {
    const [y] = this.linears(x, [linear]);
    if (scale === undefined && residual === undefined) return y;
    const { f32 } = this.machine.heap;
    const factors = scale === undefined ? undefined : this.weights.vector(scale) >>> 2;
    for (let row = 0; row < y.rows; row++) {
      const to = (y.data >>> 2) + row * y.stride;
      if (factors !== undefined) for (let i = 0; i < y.columns; i++) f32[to + i] *= f32[factors + i];
      if (residual === undefined) continue;
      const from = (residual.data >>> 2) + row * residual.stride;
      for (let i = 0; i < y.columns; i++) f32[to + i] += f32[from + i];
    }
    return y;
  }

  attention(
    q: Activation,
    k: Activation,
    v: Activation,
    options: { readonly heads: number; readonly headDim: number },
  ): Activation {
    return fullAttention(this.machine, q, k, v, options);
  }

  causalAttention(q: Activation, k: Activation, v: Activation, options: CausalAttention): Activation {
    const { cache, rotation, past } = this.language;
    return causalAttention(this.machine, cache, rotation, past, [q, k, v], options);
  }

  gatedMlp(
    x: Activation,
    norm: Norm,
    { gate, up, down }: { readonly gate: Linear; readonly up: Linear; readonly down: Linear },
  ): Activation {
    const [gated, upper] = this.linears(this.norm(x, norm), [gate, up]);
    this.machine.kernels.siluGate(gated.data, upper.data, (gated.rows * gated.stride) / 4);
    return this.linear(gated, down, { residual: x });
  }

  pixelUnshuffle(x: Activation, { grid }: { readonly grid: number }): Activation {
    const { heap } = this.machine;
    const half = grid / 2;
    const { columns } = x;
    const result = allocateRows(heap, half * half, 4 * columns);
    const { f32 } = heap;
    for (let row = 0; row < result.rows; row++) {
      const [y, z] = [Math.floor(row / half) * 2, (row % half) * 2];
      for (let part = 0; part < 4; part++) {
        // Token 0 is the class token.
        const token = 1 + (y + (part >> 1)) * grid + z + (part & 1);
        const from = (x.data >>> 2) + token * x.stride;
        f32.copyWithin((result.data >>> 2) + row * result.stride + part * columns, from, from + columns);
      }
    }
    return result;
  }

  embed(_: Activation, weight: string): Activation {
    const { heap } = this.machine;
    const { ids } = this.language;
    const matrix = this.weights.matrix(weight);
    const result = allocateRows(heap, ids.length, matrix.columns);
    const { f32 } = heap;
    for (const [row, id] of ids.entries()) {
      const at = (result.data >>> 2) + row * result.stride;
      const target = f32.subarray(at, at + matrix.columns);
      if (matrix.kind !== 'float') readRow(heap, matrix, id, target);
      else {
        const from = (matrix.data >>> 2) + id;
        for (let i = 0; i < target.length; i++) target[i] = f32[from + i * matrix.stride];
      }
    }
    return result;
  }

  mergeImageFeatures(
    embeddings: Activation,
    _: Activation,
    __: Activation,
    imageTokenId: number,
  ): Activation {
    const { ids, features } = this.language;
    const { columns, data, stride } = embeddings;
    let used = 0;
    for (const [row, id] of ids.entries()) {
      if (id !== imageTokenId) continue;
      this.machine.heap.f32.set(features.subarray(used, used + columns), (data >>> 2) + row * stride);
      used += columns;
    }
    return embeddings;
  }

  /** The last row. */
  selectRows(x: Activation): Activation {
    return { ...x, data: x.data + (x.rows - 1) * x.stride * 4, rows: 1 };
  }

  private norm(x: Activation, norm: Norm): Activation {
    const { heap } = this.machine;
    const y = allocateRows(heap, x.rows, x.columns);
    const [weight, bias] = [this.weights.vector(norm.weight), this.weights.vector(norm.bias)];
    normRows(heap.f32, x, y, norm, weight >>> 2, bias >>> 2);
    return y;
  }

  private linears(x: Activation, linears: readonly Linear[]): Activation[] {
    const { heap, kernels } = this.machine;
    const products = linears.map(({ weight, bias }) => ({
      matrix: this.weights.matrix(weight),
      bias: this.weights.vector(bias),
    }));
    const results = multiply(heap, kernels, x, products);
    for (const [i, { activation }] of linears.entries()) {
      const { data, rows, stride } = results[i];
      if (activation === 'gelu') kernels.gelu(data, (rows * stride) / 4);
    }
    return results;
  }

  private get language(): LanguageRun {
    if (this.run !== undefined) return this.run;
    throw new SpeedqError('internal', 'The language side was run without tokens.');
  }
}
