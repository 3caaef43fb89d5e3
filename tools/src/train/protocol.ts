import type { TrainStage } from './stages.ts';

/** What a training worker is started with. The shared arrays are [parameters]-long, float32. */
export interface WorkerSetup {
  readonly index: number;
  readonly count: number;
  readonly threads: number;
  readonly seed: number;
  readonly stage: TrainStage;
  readonly folder: string;
  readonly parameters: SharedArrayBuffer;
  readonly m: SharedArrayBuffer;
  readonly v: SharedArrayBuffer;
  /** One per worker. */
  readonly gradients: readonly SharedArrayBuffer[];
}

/** 'compute' adds the gradients of one micro-batch to the worker's; the first of a step begins anew. */
export type WorkerRequest =
  | { readonly type: 'compute'; readonly firstPicture: number; readonly first: boolean }
  | {
      readonly type: 'update';
      readonly step: number;
      readonly learningRate: number;
      readonly scale: number;
      /** Workers whose gradients belong to the step. */
      readonly contributors: readonly number[];
    };

/** Questions asked and answered exactly (every greedy token right), by type. */
export type Tally = Record<string, { asked: number; right: number }>;

export type WorkerReply =
  | { readonly type: 'ready'; readonly trained: readonly string[] }
  | { readonly type: 'computed'; readonly losses: Record<string, number>; readonly tally: Tally }
  | { readonly type: 'updated' };
