import type { ExecutionProvider } from '@speedq/onnx';
import type { Recipe } from '../recipes/schema.ts';
import type { TrainedMethod } from './methods/names.ts';

/** The trained stages: vision encoder, projector, language model. */
export type StageNumber = 1 | 2 | 3;

/** What the worker thread is asked to do; plain data. */
export interface QuantizeJob {
  /** Folder of the float model. */
  readonly model: string;
  /** Folder of the float model that teaches stage 3; by default the same. */
  readonly teacher?: string;
  /** Meta JSON, JSONL, or a folder that holds one. */
  readonly data: string;
  /** Folder that the result will be named after. */
  readonly out: string;
  /** Where checkpoints live until the result is complete. */
  readonly work: string;
  readonly recipe: Recipe;
  readonly method: TrainedMethod;
  readonly stages: readonly StageNumber[];
  readonly seed: number;
  /** Threads of onnxruntime: part of the arithmetic, because it decides how products are split. */
  readonly threads: number;
  /** What trains end to end: part of the arithmetic too. */
  readonly device: ExecutionProvider;
  /** Updates between two checkpoints, at least. */
  readonly checkpointSteps: number;
  /** One Int32; not 0 asks the worker to save its work and end. */
  readonly stop: SharedArrayBuffer;
}

/** Squared error of a block's output, as a share of the original's square: rounded to nearest, and as quantized. */
export interface BlockErrors {
  readonly block: string;
  readonly nearest: number;
  readonly trained: number;
}

/** How far the quantized model is from the original, whoever taught it, on conversations that nothing was fitted to. */
export interface Divergence {
  readonly conversations: number;
  /** Answer tokens. */
  readonly tokens: number;
  /** KL(original‖quantized), nats a token. */
  readonly kl: number;
  /** Share of tokens that both hold most probable. */
  readonly sameToken: number;
}

/** Figures of a run, for the result line and checkpoint/quantization.json. No durations: runs must compare equal. */
export interface QuantizeSummary {
  readonly blocks: readonly BlockErrors[];
  readonly gamma?: number | 'per-token';
  /** Name of the model that taught stage 3, where it was not the original. */
  readonly teacher?: string;
  readonly divergence?: Divergence;
  /** Losses of the last update of each stage that ran. */
  readonly losses: Readonly<Record<string, number>>;
  readonly conversations: number;
  readonly pictures: number;
}

export type WorkerMessage =
  /** A long step begins; `total` items are left to do. */
  | { readonly type: 'start'; readonly label: string; readonly total: number }
  | { readonly type: 'progress'; readonly done: number; readonly detail?: string }
  | { readonly type: 'finish'; readonly detail?: string }
  /** Something for people and, as an event, for programs. */
  | { readonly type: 'note'; readonly text: string }
  | { readonly type: 'event'; readonly event: string; readonly fields: Readonly<Record<string, unknown>> }
  | {
      readonly type: 'done';
      readonly folder: string;
      readonly summary: QuantizeSummary;
      readonly bytes: number;
    }
  | { readonly type: 'failed'; readonly code: string; readonly message: string; readonly stack?: string };
