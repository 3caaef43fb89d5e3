import { dequantizeBilevel, quantizeBilevelTensor } from '@speedq/format';
import type { BilevelScheme, BilevelTensor } from '@speedq/format';
import type { Parameters } from '@speedq/onnx';
import type { Recipe } from '../../recipes/schema.ts';
import type { StageContext } from '../context.ts';
import { withChanges } from '../parameter-store.ts';
import type { ActivationStore } from './activation-store.ts';
import type { Block } from './block.ts';
import type { BlockRunner } from './block-runner.ts';

export interface QuantizedWeight {
  readonly scheme: BilevelScheme;
  readonly rows: number;
  readonly columns: number;
}

/** One block to be quantized, with what it is given and what the original makes of it. */
export interface BlockTask {
  readonly block: Block;
  /** Of checkpoints and events. */
  readonly name: string;
  readonly context: StageContext;
  readonly runner: BlockRunner;
  /** Linear weights to quantize, by their canonical names. */
  readonly weights: ReadonlyMap<string, QuantizedWeight>;
  /** The student's present values; the block's own still float. */
  readonly parameters: Parameters;
  /** Inputs from the quantized blocks before it, and from the float ones; the original's outputs. */
  readonly quantizedInput: ActivationStore;
  readonly floatInput: ActivationStore;
  readonly target: ActivationStore;
}

/** What a method makes of a block. */
export interface BlockOutcome {
  readonly tensors: ReadonlyMap<string, BilevelTensor>;
  /** Parameters that stay float but changed, such as norms that took up scales. */
  readonly floats?: ReadonlyMap<string, Float32Array>;
  /** Float weights that the codes are the rounding of, for whoever trains on. */
  readonly latents?: ReadonlyMap<string, Float32Array>;
}

export interface BlockMethod {
  /** Shown beside the block's name. */
  readonly label: string;
  /** Items of progress that a block takes. */
  steps(recipe: Recipe): number;
  run(task: BlockTask): Promise<BlockOutcome>;
}

/** All weights of the block rounded to nearest. */
export function roundToNearest({ weights, parameters, context }: BlockTask): Map<string, BilevelTensor> {
  const reference = !context.recipe.fixes.storedArithmetic;
  return new Map(
    [...weights].map(([name, { scheme, rows, columns }]) => [
      name,
      quantizeBilevelTensor(parameters.get(name)!, rows, columns, scheme, { name, reference }),
    ]),
  );
}

/** The student's values with an outcome in place. */
export function withOutcome(parameters: Parameters, { tensors, floats }: BlockOutcome): Parameters {
  const changed = new Map(floats);
  for (const [name, tensor] of tensors) changed.set(name, dequantizeBilevel(tensor.codes, tensor));
  return withChanges(parameters, changed);
}

/** Items that errors are measured on; all training sees more. */
const MEASURED_ITEMS = 64;

/** Squared error of the block's output, as a share of the original output's square. */
export async function outputError(
  { runner, block, quantizedInput, target }: BlockTask,
  parameters: Parameters,
): Promise<number> {
  let error = 0;
  let square = 0;
  for (let index = 0; index < Math.min(MEASURED_ITEMS, target.items); index++) {
    const y = await runner.forward(block, parameters, quantizedInput.read(index));
    const wanted = target.read(index);
    for (let i = 0; i < y.length; i++) {
      error += (y[i] - wanted[i]) ** 2;
      square += wanted[i] ** 2;
    }
  }
  return square === 0 ? error : error / square;
}
