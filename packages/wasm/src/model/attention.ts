import type { CausalAttention } from '@speedq/model';
import type { Heap } from '../heap.ts';
import type { Kernels } from '../kernels/module.ts';
import { padded } from '../weights/store.ts';
import { allocateRows, productRows } from './linear.ts';
import type { Activation } from './linear.ts';

/** Query rows whose scores exist at a time: they stay in the second-level cache. */
const QUERY_ROWS = 64;
/** A stride of a power of two would put all rows of a key matrix into the same few lines of the first-level cache. */
export const STRIDE_OFFSET = 16;
const HIDDEN = -3e38;

/** Keys [headDim, tokens] (so that lanes are tokens) and values [tokens, headDim] of one head. */
interface HeadMemory {
  readonly keys: number;
  readonly keyStride: number;
  readonly values: number;
  readonly valueStride: number;
}

/** Keys and values of all layers, at their full size from the start: memory that is not touched costs nothing. */
export class KeyValueCache {
  readonly bytes: number;
  readonly #heads: HeadMemory[][];

  constructor(
    heap: Heap,
    {
      numLayers,
      numKeyValueHeads,
      headDim,
    }: { numLayers: number; numKeyValueHeads: number; headDim: number },
    capacity: number,
  ) {
    const before = heap.used;
    const keyStride = padded(capacity) + STRIDE_OFFSET;
    const valueStride = padded(headDim);
    this.#heads = Array.from({ length: numLayers }, () =>
      Array.from({ length: numKeyValueHeads }, () => ({
        keys: heap.floats(headDim * keyStride),
        keyStride,
        values: heap.floats(padded(capacity) * valueStride),
        valueStride,
      })),
    );
    this.bytes = heap.used - before;
  }

  head(layer: number, head: number): HeadMemory {
    return this.#heads[layer][head];
  }
}

/** Rotations of the positions of one run: half-split RoPE. */
export class Rotation {
  readonly #cos: Float32Array;
  readonly #sin: Float32Array;
  readonly #half: number;

  constructor(first: number, count: number, { headDim, ropeTheta }: { headDim: number; ropeTheta: number }) {
    const half = headDim / 2;
    this.#half = half;
    this.#cos = new Float32Array(count * half);
    this.#sin = new Float32Array(count * half);
    for (let i = 0; i < half; i++) {
      const frequency = ropeTheta ** (-i / half);
      for (let t = 0; t < count; t++) {
        const angle = (first + t) * frequency;
        this.#cos[t * half + i] = Math.cos(angle);
        this.#sin[t * half + i] = Math.sin(angle);
      }
    }
  }

  apply(f32: Float32Array, x: Activation, heads: number): void {
    const half = this.#half;
    for (let t = 0; t < x.rows; t++) {
      for (let head = 0; head < heads; head++) {
        const at = (x.data >>> 2) + t * x.stride + head * half * 2;
        for (let i = 0; i < half; i++) {
          const [cos, sin] = [this.#cos[t * half + i], this.#sin[t * half + i]];
          const [a, b] = [f32[at + i], f32[at + half + i]];
          f32[at + i] = a * cos - b * sin;
          f32[at + half + i] = b * cos + a * sin;
        }
      }
    }
  }
}

export interface AttentionMachine {
  readonly heap: Heap;
  readonly kernels: Kernels;
  /** Address of zeros, as many as there may be tokens. */
  readonly zeros: number;
}

/** Rotated q and k, k and v appended to the cache behind `past` tokens, attention over all of it. */
export function causalAttention(
  machine: AttentionMachine,
  cache: KeyValueCache,
  rotation: Rotation,
  past: number,
  [q, k, v]: readonly [Activation, Activation, Activation],
  { layer, heads, keyValueHeads, headDim }: CausalAttention,
): Activation {
  const { heap } = machine;
  rotation.apply(heap.f32, q, heads);
  rotation.apply(heap.f32, k, keyValueHeads);
  const context = allocateRows(heap, q.rows, heads * headDim);
  const group = heads / keyValueHeads;
  for (let head = 0; head < keyValueHeads; head++) {
    const memory = cache.head(layer, head);
    append(heap.f32, memory, past, k, v, head * headDim, headDim);
    if (q.rows === 1) {
      // One token: the query heads that share keys and values are the rows.
      const queries = { data: q.data + head * group * headDim * 4, rows: group, stride: headDim };
      const write = (row: number): number => head * group * headDim + row * headDim;
      attend(machine, queries, memory, headDim, past + 1, undefined, context, write);
    } else {
      for (let g = 0; g < group; g++) {
        const offset = (head * group + g) * headDim;
        const queries = { data: q.data + offset * 4, rows: q.rows, stride: q.stride };
        const write = (row: number): number => row * context.stride + offset;
        attend(machine, queries, memory, headDim, past + q.rows, past, context, write);
      }
    }
  }
  return context;
}

/** Bidirectional attention among the rows. */
export function fullAttention(
  machine: AttentionMachine,
  q: Activation,
  k: Activation,
  v: Activation,
  { heads, headDim }: { readonly heads: number; readonly headDim: number },
): Activation {
  const { heap } = machine;
  const context = allocateRows(heap, q.rows, heads * headDim);
  const keyStride = padded(k.rows) + STRIDE_OFFSET;
  const keys = heap.floats(headDim * keyStride);
  for (let head = 0; head < heads; head++) {
    const offset = head * headDim;
    transposeRows(heap.f32, k, offset, headDim, keys, keyStride, 0);
    const memory = { keys, keyStride, values: v.data + offset * 4, valueStride: v.stride };
    const queries = { data: q.data + offset * 4, rows: q.rows, stride: q.stride };
    const write = (row: number): number => row * context.stride + offset;
    attend(machine, queries, memory, headDim, k.rows, undefined, context, write);
  }
  return context;
}

/** softmax(q·keys/√headDim)·values; with `past`, row t sees past + t + 1 keys. `write` tells where a row goes. */
function attend(
  { heap, kernels, zeros }: AttentionMachine,
  queries: { readonly data: number; readonly rows: number; readonly stride: number },
  { keys, keyStride, values, valueStride }: HeadMemory,
  headDim: number,
  tokens: number,
  past: number | undefined,
  context: Activation,
  write: (row: number) => number,
): void {
  const before = heap.used;
  const rowsAtOnce = Math.min(QUERY_ROWS, queries.rows);
  const scores = allocateRows(heap, rowsAtOnce, tokens);
  const sums = allocateRows(heap, rowsAtOnce, headDim);
  const { f32 } = heap;
  for (let first = 0; first < queries.rows; first += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, queries.rows - first);
    const seen = past === undefined ? tokens : past + first + rows;
    const columns = Math.ceil(seen / 4) * 4;
    productRows(
      kernels,
      { data: queries.data + first * queries.stride * 4, rows, stride: queries.stride },
      { data: keys, stride: keyStride },
      scores,
      { bias: zeros, columns: seen, inner: headDim },
    );
    for (let row = 0; row < rows; row++) {
      const at = (scores.data >>> 2) + row * scores.stride;
      const own = past === undefined ? seen : past + first + row + 1;
      f32.fill(HIDDEN, at + own, at + columns);
      kernels.softmax(at * 4, columns / 4, 1 / Math.sqrt(headDim));
    }
    productRows(kernels, { ...scores, rows }, { data: values, stride: valueStride }, sums, {
      bias: zeros,
      columns: headDim,
      inner: seen,
    });
    for (let row = 0; row < rows; row++) {
      const from = (sums.data >>> 2) + row * sums.stride;
      f32.copyWithin((context.data >>> 2) + write(first + row), from, from + headDim);
    }
  }
  heap.release(before);
}

function append(
  f32: Float32Array,
  { keys, keyStride, values, valueStride }: HeadMemory,
  past: number,
  k: Activation,
  v: Activation,
  offset: number,
  headDim: number,
): void {
  transposeRows(f32, k, offset, headDim, keys, keyStride, past);
  for (let t = 0; t < v.rows; t++) {
    const from = (v.data >>> 2) + t * v.stride + offset;
    f32.copyWithin((values >>> 2) + (past + t) * valueStride, from, from + headDim);
  }
}

function transposeRows(
  f32: Float32Array,
  x: Activation,
  offset: number,
  headDim: number,
  target: number,
  stride: number,
  first: number,
): void {
  for (let t = 0; t < x.rows; t++) {
    const from = (x.data >>> 2) + t * x.stride + offset;
    const to = (target >>> 2) + first + t;
    for (let i = 0; i < headDim; i++) f32[to + i * stride] = f32[from + i];
  }
}
