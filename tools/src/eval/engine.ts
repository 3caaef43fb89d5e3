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
