import { adamwStep } from '@speedq/onnx';
import { createRandom } from '../../data/random.ts';
import { blockWidths } from '../blocks/block.ts';
import type { BlockOutcome, BlockTask } from '../blocks/block-task.ts';
import { requireFinite } from '../checkpoints.ts';
import { RANDOM } from '../context.ts';
import { restore } from '../state-file.ts';
import { BlockObjective } from './block-objective.ts';
import type { DeclareWeight, ObjectiveBatch, Values } from './block-objective.ts';

export interface TrainedValues extends Values {
  /** Learning rate at the start. */
  readonly rate: number;
}

/** How weights are made of what is trained, and what they become in the end. */
export interface Parametrization {
  readonly declare: DeclareWeight;
  /** By input name; trained in place. */
  readonly trained: ReadonlyMap<string, TrainedValues>;
  /** Other inputs that the weights are made of, at an iteration. */
  inputs(iteration: number): ReadonlyMap<string, Values>;
  /** What the learning rates are multiplied with. */
  rateAt(iteration: number): number;
  settle(): BlockOutcome;
}

export interface TrainBlockSettings {
  readonly iterations: number;
  readonly batchSize: number;
  /** Share of a block's input elements that come from the float model rather than the quantized prefix. */
  readonly floatInputShare: number;
}

const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };

/** Trains one block to give the original's output. Resumes where a checkpoint of it was left. */
export async function trainBlock(
  task: BlockTask,
  parametrization: Parametrization,
  { iterations, batchSize, floatInputShare }: TrainBlockSettings,
): Promise<BlockOutcome> {
  const { context, block, name, weights, parameters, target } = task;
  const { config, seed, threads, checkpoints, reporter } = context;
  const { trained } = parametrization;
  const length = longest(task);
  const schemes = new Map([...weights].map(([weight, { scheme }]) => [weight, scheme]));
  const moments = new Map(
    [...trained].map(([input, { data }]) => [
      input,
      { m: new Float32Array(data.length), v: new Float32Array(data.length) },
    ]),
  );
  const state = (): Map<string, Float32Array> =>
    new Map(
      [...trained].flatMap(([input, { data }]) => {
        const { m, v } = moments.get(input)!;
        return [[input, data] as const, [`m.${input}`, m] as const, [`v.${input}`, v] as const];
      }),
    );
  const saved = await checkpoints.underWay(name);
  if (saved !== undefined) for (const [key, array] of state()) restore(saved.state, key, array);
  const objective = await BlockObjective.create(config, block, schemes, parametrization.declare, {
    items: batchSize,
    ...{ length, threads },
  });
  const kind = { vision: 0, projector: 1, language: 2 }[block.kind];
  try {
    for (let iteration = saved?.step ?? 0; iteration < iterations; iteration++) {
      const keys = [kind, block.layer, iteration] as const;
      const random = createRandom(seed, RANDOM.rounding, ...keys);
      const items = Array.from({ length: batchSize }, () => random.int(target.items));
      const batch = gather(task, items, length, floatInputShare, createRandom(seed, RANDOM.mixing, ...keys));
      const values = new Map<string, Values>([...trained, ...parametrization.inputs(iteration)]);
      const error = await objective.run(parameters, values, batch);
      const where = `${name}, iteration ${iteration}`;
      requireFinite(error, where);
      for (const gradient of objective.gradients.values()) requireFinite(squareOf(gradient), where);
      const factor = parametrization.rateAt(iteration);
      for (const [input, { data, rate }] of trained) {
        adamwStep(
          { parameters: data, gradients: objective.gradients.get(input)!, ...moments.get(input)! },
          { begin: 0, end: data.length },
          { ...ADAM, learningRate: rate * factor, step: iteration + 1 },
        );
      }
      reporter.progress(iteration + 1, `error ${error.toPrecision(3)}`);
      if (iteration % Math.ceil(iterations / LOSS_EVENTS) === 0 || iteration === iterations - 1) {
        reporter.event('loss', { stage: name, step: iteration, total: error });
      }
      await checkpoints.step(name, iteration + 1, () => ({ metadata: {}, tensors: state() }));
    }
  } finally {
    await objective.release();
  }
  return parametrization.settle();
}

/** Not finite where one of the values is not. */
function squareOf(values: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  return sum;
}

/** Loss events of a block, whatever its iterations. */
const LOSS_EVENTS = 20;

/** Rows of the longest item. */
function longest({ block, context, target, quantizedInput }: BlockTask): number {
  const width = blockWidths(context.config, block.kind).input;
  let rows = 0;
  for (let index = 0; index < target.items; index++)
    rows = Math.max(rows, quantizedInput.size(index) / width);
  return rows;
}

/** Items side by side, padded to `length` rows; their inputs mixed of the quantized and the float ones. */
function gather(
  { block, context, quantizedInput, floatInput, target }: BlockTask,
  items: readonly number[],
  length: number,
  share: number,
  mixing: { next(): number },
): ObjectiveBatch {
  const widths = blockWidths(context.config, block.kind);
  const rowsOut = block.kind === 'projector' ? context.config.tokensPerTile : length;
  const x = new Float32Array(items.length * length * widths.input);
  const wanted = new Float32Array(items.length * rowsOut * widths.output);
  const rowWeights = new Float32Array(items.length * rowsOut);
  const lengths = items.map((item) => quantizedInput.size(item) / widths.input);
  const total = items.reduce((sum, item) => sum + target.size(item) / widths.output, 0);
  items.forEach((item, slot) => {
    const start = slot * length * widths.input;
    const into = x.subarray(start, start + quantizedInput.size(item));
    mixInputs(quantizedInput.read(item), floatInput.read(item), share, mixing, into);
    wanted.set(target.read(item), slot * rowsOut * widths.output);
    rowWeights.fill(1 / total, slot * rowsOut, slot * rowsOut + target.size(item) / widths.output);
  });
  return { x, target: wanted, rowWeights, lengths };
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
