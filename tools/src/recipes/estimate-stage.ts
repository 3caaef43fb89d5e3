import type { InternVLConfig, ParameterSpec } from '@speedq/model';
import type { MachineRates } from './machine.ts';
import type { Recipe } from './schema.ts';
import { measureSizes } from './workload.ts';
import type { ModelSizes, Workload } from './workload.ts';

/** Work by what does it: operations of matrix products on all threads, and seconds of one thread. */
export interface Work {
  readonly flops: number;
  readonly serial: number;
}

/** What a piece of work takes: memory by counting, time by what this machine was measured to do. */
export interface StageEstimate {
  readonly name: string;
  readonly peakBytes: number;
  /** Of matrix products. */
  readonly flops: number;
  readonly seconds: number;
  /** Of all cores. */
  readonly processorSeconds: number;
}

export interface SizedModel {
  readonly config: InternVLConfig;
  readonly parameters: readonly ParameterSpec[];
}

export interface EstimateContext {
  readonly recipe: Recipe;
  readonly config: InternVLConfig;
  readonly sizes: ModelSizes;
  readonly workload: Workload;
  readonly rates: MachineRates;
  readonly threads: number;
  /** Of stage 3, where it is not the model itself. */
  readonly teacher?: SizedModel;
  /** Of what all stages of a method keep: parameters, original and quantized, and codes. */
  readonly kept: number;
}

export const F32 = 4;
/** Of the time of a step that its matrix products would take by themselves: `speedq bench train`. */
export const TRAINING_SHARE = 0.55;
/** Intermediate results of one block, in multiples of its input. */
export const BLOCK_INTERMEDIATES = 30;
/** Node with this program in it, and what its collector lets lie. */
export const BASE_BYTES = 150 << 20;
/** The worker beside it, with onnxruntime and its arenas. */
const WORKER_BYTES = 150 << 20;
/** What `ParameterStore` keeps in memory; beyond, values are read back and lie about until they are collected. */
export const STORE_BYTES = 2 ** 30;
const UNCOLLECTED = 0.75 * STORE_BYTES;
/** Of processors, until the program is loaded. */
export const START_SECONDS = 1.3;
/** An onnxruntime session, made and released; a small model spends most of its time here. */
export const SESSION_SECONDS = 0.05;

export function estimateContext(
  recipe: Recipe,
  config: InternVLConfig,
  parameters: readonly ParameterSpec[],
  options: Pick<EstimateContext, 'workload' | 'rates' | 'threads' | 'teacher'>,
): EstimateContext {
  const sizes = measureSizes(recipe, config, parameters, options.workload.tokens);
  const original = sizes.total * F32;
  const kept =
    BASE_BYTES +
    WORKER_BYTES +
    Math.min(STORE_BYTES, original) +
    Math.min(STORE_BYTES, sizes.quantized * F32) +
    (original > STORE_BYTES ? UNCOLLECTED : 0) +
    sizes.packed;
  return { ...options, recipe, config, sizes, kept };
}

/** A stage by its work; `peakBytes` beside what is kept throughout. */
export function stage(context: EstimateContext, name: string, work: Work, peakBytes: number): StageEstimate {
  const { rates, threads, kept } = context;
  const parallel = work.flops / rates.gemm;
  return {
    ...{ name, flops: work.flops, peakBytes: kept + peakBytes },
    seconds: parallel + work.serial,
    processorSeconds: parallel * threads + work.serial,
  };
}
