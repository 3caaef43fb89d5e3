import { dequantizeBilevel, quantizeBilevelTensor, searchClipRange } from '@speedq/format';
import type { BilevelScheme, BilevelTensor, GroupRange } from '@speedq/format';
import { adamwStep } from '@speedq/onnx';
import type { Parameters } from '@speedq/onnx';
import { createRandom } from '../../data/random.ts';
import type { Recipe } from '../../recipes/schema.ts';
import { requireFinite } from '../checkpoints.ts';
import type { Checkpoints } from '../checkpoints.ts';
import { RANDOM } from '../context.ts';
import { GramMatrices } from '../gram.ts';
import { restore } from '../state-file.ts';
import { settleRounding, startRounding } from './adaround.ts';
import { chunks, tileOf } from './calibration.ts';
import type { Activations } from './calibration.ts';
import type { ReconstructionStep } from './reconstruction-step.ts';
import { asLayer0 } from './vision-blocks.ts';
import type { VisionBlocks } from './vision-blocks.ts';

type Stage1 = Recipe['stage1'];

/** Exponent β of the regulariser and its weight at an iteration: off at first, then sharper and sharper. */
export function regulariserAt(
  iteration: number,
  stage: Stage1,
): { readonly lambda: number; readonly beta: number } {
  const warm = stage.iterations * stage.warmFraction;
  if (iteration < warm) return { lambda: 0, beta: stage.betaStart };
  const progress = (iteration - warm) / Math.max(1, stage.iterations - warm);
  return { lambda: stage.lambda, beta: stage.betaStart + (stage.betaEnd - stage.betaStart) * progress };
}

/** Each element from `float` with probability `share`, else from `quantized`; one random byte decides. */
export function mixInputs(
  quantized: Float32Array,
  float: Float32Array,
  share: number,
  random: { next(): number },
  into: Float32Array,
): void {
  const threshold = Math.round(share * 256);
  for (let i = 0; i < into.length;) {
    let bytes = Math.floor(random.next() * 2 ** 32);
    for (let j = 0; j < 4 && i < into.length; j++, i++) {
      into[i] = (bytes & 255) < threshold ? float[i] : quantized[i];
      bytes >>>= 8;
    }
  }
}

export interface RoundedWeight {
  readonly scheme: BilevelScheme;
  readonly rows: number;
  readonly columns: number;
}

export interface BlockTask {
  readonly layer: number;
  readonly name: string;
  /** Weights to round, by their canonical names. */
  readonly weights: ReadonlyMap<string, RoundedWeight>;
  /** The student's present values: the block's own still float. */
  readonly parameters: Parameters;
  /** Input of the block from the quantized blocks before it, and from the float ones; the float output. */
  readonly quantizedInput: Activations;
  readonly floatInput: Activations;
  readonly target: Activations;
  readonly recipe: Recipe;
  readonly seed: number;
  readonly checkpoints: Checkpoints;
  readonly onStep: (iteration: number, error: number) => void;
}

export interface BlockResult {
  readonly nearest: ReadonlyMap<string, BilevelTensor>;
  readonly trained: ReadonlyMap<string, BilevelTensor>;
}

/** Learns how to round one block's weights. Resumes where a checkpoint of it was left. */
export async function reconstructBlock(
  blocks: VisionBlocks,
  step: ReconstructionStep,
  task: BlockTask,
): Promise<BlockResult> {
  const { layer, weights, parameters, recipe, seed, target, quantizedInput, floatInput } = task;
  const { stage1 } = recipe;
  const reference = !recipe.fixes.storedArithmetic;
  const ranges = await searchRanges(blocks, task);
  const started = new Map(
    [...weights].map(([name, { scheme, rows, columns }]) => {
      const weight = parameters.get(name)!;
      const options = { name, reference, range: ranges.get(name) };
      const rounding = startRounding(weight, rows, columns, scheme, options);
      return [name, { rounding, nearest: quantizeBilevelTensor(weight, rows, columns, scheme, options) }];
    }),
  );

  // One flat array each for α and its moments: a checkpoint is three tensors.
  const total = [...started.values()].reduce((sum, { rounding }) => sum + rounding.base.length, 0);
  const flat = { alpha: new Float32Array(total), m: new Float32Array(total), v: new Float32Array(total) };
  const slots = new Map<string, { begin: number; end: number }>();
  let offset = 0;
  for (const [name, { rounding }] of started) {
    const end = offset + rounding.initial.length;
    flat.alpha.set(rounding.initial, offset);
    slots.set(name, { begin: offset, end });
    offset = end;
  }
  const saved = await task.checkpoints.underWay(task.name);
  if (saved !== undefined)
    for (const [name, array] of Object.entries(flat)) restore(saved.state, name, array);

  const own = (name: string) => asLayer0(name, layer);
  const state = {
    parameters: new Map([...parameters].map(([name, values]) => [own(name), values])),
    roundings: new Map([...started].map(([name, { rounding }]) => [own(name), rounding])),
    alphas: new Map([...slots].map(([name, { begin, end }]) => [own(name), flat.alpha.subarray(begin, end)])),
  };
  const size = target.data.length / target.tiles;
  const x = new Float32Array(stage1.batchSize * size);
  const wanted = new Float32Array(x.length);
  for (let iteration = saved?.step ?? 0; iteration < stage1.iterations; iteration++) {
    const random = createRandom(seed, RANDOM.rounding, layer, iteration);
    const mixing = createRandom(seed, RANDOM.mixing, layer, iteration);
    for (let slot = 0; slot < stage1.batchSize; slot++) {
      const tile = random.int(target.tiles);
      const into = x.subarray(slot * size, (slot + 1) * size);
      mixInputs(tileOf(quantizedInput, tile), tileOf(floatInput, tile), stage1.floatInputShare, mixing, into);
      wanted.set(tileOf(target, tile), slot * size);
    }
    const { error } = await step.run(state, x, wanted, regulariserAt(iteration, stage1));
    requireFinite(error, `${task.name}, iteration ${iteration}`);
    for (const [name, { begin, end }] of slots) {
      adamwStep(
        {
          parameters: flat.alpha.subarray(begin, end),
          gradients: step.gradients.get(own(name))!,
          m: flat.m.subarray(begin, end),
          v: flat.v.subarray(begin, end),
        },
        { begin: 0, end: end - begin },
        { ...ADAM, learningRate: stage1.learningRate, step: iteration + 1 },
      );
    }
    task.onStep(iteration + 1, error);
    await task.checkpoints.step(task.name, iteration + 1, () => ({
      metadata: {},
      tensors: new Map(Object.entries(flat)),
    }));
  }
  return {
    nearest: new Map([...started].map(([name, { nearest }]) => [name, nearest])),
    trained: new Map(
      [...started].map(([name, { rounding }]) => {
        const { begin, end } = slots.get(name)!;
        return [name, settleRounding(rounding, flat.alpha.subarray(begin, end))];
      }),
    ),
  };
}

const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };

/** The student's values with some weights replaced by what codes stand for. */
export function withCodes(
  parameters: Parameters,
  tensors: ReadonlyMap<string, BilevelTensor>,
): Map<string, Float32Array> {
  const replaced = new Map(parameters);
  for (const [name, tensor] of tensors) replaced.set(name, dequantizeBilevel(tensor.codes, tensor));
  return replaced;
}

/** Clipping ranges that suit what the linears multiply; none where the recipe asks for none. */
async function searchRanges(
  blocks: VisionBlocks,
  { layer, weights, parameters, quantizedInput, recipe }: BlockTask,
): Promise<ReadonlyMap<string, GroupRange>> {
  const wanted = recipe.stage1.clipSearchTokens;
  if (wanted === 0) return new Map();
  const grams = new GramMatrices();
  let tokens = 0;
  for (const [, part] of chunks(quantizedInput)) {
    const inputs = await blocks.linearInputs(parameters, layer, part);
    let rows = 0;
    for (const [name, { scheme, columns }] of weights) {
      const activations = inputs.get(name)!;
      rows = activations.length / columns;
      grams.add(name, activations, columns, scheme);
    }
    tokens += rows;
    if (tokens >= wanted) break;
  }
  return new Map(
    [...weights].map(([name, { scheme, rows, columns }]) => [
      name,
      searchClipRange(parameters.get(name)!, rows, columns, scheme, grams.get(name), { name }),
    ]),
  );
}
