import type { NodeDevice } from '@speedq/kernels/node';
import type { EngineModel, ImageFeaturesHandle } from '@speedq/runtime';

export const ENGINES = ['cpu', 'webgpu', 'wasm'] as const;
export type EngineKind = (typeof ENGINES)[number];

/**
 * A model that answers: onnxruntime in float32 on the CPU, or what runs in browsers on what is stored, the WebGPU
 * kernels or the WebAssembly ones. All are driven by the runtime's own generation loop.
 */
export interface Engine extends EngineModel<ImageFeaturesHandle> {
  readonly kind: EngineKind;
  /** What computes, for reports: the adapter's name, say. */
  readonly description: string;
  /** A graphics card imitated by the CPU: right, and slow. */
  readonly isSoftware: boolean;
  readonly vocabSize: number;
  /**
   * Appends ids to the cache; `images` fill its image placeholders in order.
   * @returns logits [rows, vocabSize] after each of the last `rows` ids
   */
  forward(ids: Uint32Array, images: readonly ImageFeaturesHandle[], rows: number): Promise<Float32Array>;
  /** Empty sequences that advance together, apart from the cache above; absent where only one fits. */
  openBatch?(size: number): EngineBatch;
}

/** Several sequences, each of its own length, computed in one step. */
export interface EngineBatch {
  readonly size: number;
  /** Appends to each sequence and resolves to each one's logits [rows, vocabSize]. */
  append(additions: readonly BatchAddition[]): Promise<Float32Array[]>;
  /** Forgets the tokens of a sequence beyond its first `length`. */
  truncate(sequence: number, length: number): void;
  /** Goes on with these sequences, in this order; one that is named twice becomes two. */
  select(sequences: readonly number[]): void;
}

/** What a sequence of a batch gets in a step. */
export interface BatchAddition {
  /** [] for a sequence that waits while the others go on. */
  readonly ids: Uint32Array;
  /** For the image placeholders among `ids`, in order. */
  readonly images: readonly ImageFeaturesHandle[];
  /** Logits are wanted after each of the last so many ids. */
  readonly rows: number;
}

export interface EngineOptions {
  /** Tokens of the KV cache. Default: what the model was trained for, at most 4,096. */
  readonly maxContext?: number;
  /** Threads of the CPU engine. Default: all cores. */
  readonly threads?: number;
  /** For the WebGPU engine; it outlives the engine. Default: one of its own. */
  readonly device?: NodeDevice;
}

const DEFAULT_CONTEXT = 4096;

export function contextOf(trained: number, { maxContext }: EngineOptions): number {
  return Math.min(trained, maxContext ?? DEFAULT_CONTEXT);
}

/** Index of the largest value in [start, end), relative to `start`; of equal ones the first. */
export function argmax(values: ArrayLike<number>, start = 0, end = values.length): number {
  let best = start;
  for (let i = start + 1; i < end; i++) if (values[i] > values[best]) best = i;
  return best - start;
}
