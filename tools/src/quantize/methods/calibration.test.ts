import { dequantizeBilevel } from '@speedq/format';
import type { BilevelTensor } from '@speedq/format';
import { elementCount, parameterInventory, parseConfig } from '@speedq/model';
import type { TensorSource } from '@speedq/model';
import type { Parameters } from '@speedq/onnx';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRandom } from '../../data/random.ts';
import { RECIPES } from '../../recipes/recipes.ts';
import { resolveSchemes } from '../../recipes/resolve-schemes.ts';
import { picoConfig } from '../../train/pico-config.ts';
import { ActivationStore } from '../blocks/activation-store.ts';
import { BlockRunner } from '../blocks/block-runner.ts';
import { roundToNearest, withOutcome } from '../blocks/block-task.ts';
import type { BlockMethod, BlockTask } from '../blocks/block-task.ts';
import { RANDOM, ort } from '../context.ts';
import { openDevice } from '../device.ts';
import { withChanges } from '../parameter-store.ts';
import { Student } from '../student.ts';
import { adaroundMethod } from './adaround.ts';
import { blockwiseMethod } from './blockwise.ts';
import { gatherGrams } from './grams.ts';
import { clipMethod } from './weight-methods.ts';

/** What methods make of the calibration activations: which inputs a block is trained on, and what an error weighs. */

const json = picoConfig({ vocabulary: 128, imageContext: 5, messageEnd: 6, endOfText: 7 });
const config = parseConfig({
  ...json,
  image_seq_length: 4,
  vision_config: {
    ...json.vision_config,
    ...{ hidden_size: 32, intermediate_size: 48, num_hidden_layers: 1, num_attention_heads: 2 },
    image_size: [56, 56],
  },
});
const WIDTH = config.vision.hiddenSize;
/** 16 patches and the class token. */
const ROWS = 17;
const BLOCK = { kind: 'vision', layer: 0 } as const;
const PREFIX = 'vision_tower.encoder.layer.0';
const QUERY = `${PREFIX}.attention.q_proj.weight`;

function normals(seed: number, count: number, deviation = 1): Float32Array {
  const random = createRandom(seed);
  return new Float32Array(count).map(
    () => deviation * (random.next() + random.next() + random.next() + random.next() - 2) * Math.sqrt(3),
  );
}

/** Channels of the norm in front of q, k and v differ by a factor of thirty. */
const gains = normals(900, WIDTH).map((value, i) => (i % 8 === 0 ? 6 : 0.2) + 0.01 * value);
const inventory = parameterInventory(config);
const parameters = new Map(
  inventory.map(({ name, shape, role }, i) => {
    const values = normals(i, elementCount(shape), 1 / Math.sqrt(elementCount(shape.slice(1))));
    if (name === `${PREFIX}.layernorm_before.weight`) return [name, gains];
    return [name, role === 'norm' || role === 'layer-scale' ? values.map((v) => 1 + 0.1 * v) : values];
  }),
);

let runner: BlockRunner;
beforeAll(async () => void (runner = await BlockRunner.create(config, 'vision', 1)));
afterAll(() => runner.release());

const quantized = normals(700, ROWS * WIDTH);
const float = normals(701, ROWS * WIDTH);
const target = normals(702, ROWS * WIDTH);

function storeOf(values: Float32Array): ActivationStore {
  const store = new ActivationStore([values.length], '.');
  store.write(0, values);
  return store;
}

/** One item, so that a batch of one is that item. */
async function taskFor(floatInputShare: number): Promise<{ task: BlockTask; losses: number[] }> {
  const base = RECIPES['2bit'];
  const short = { iterations: 1, batchSize: 1, floatInputShare };
  const recipe = {
    ...base,
    stage1: { ...base.stage1, ...short, clipSearchTokens: 0 },
    blockwise: { ...base.blockwise, ...short },
  };
  const losses: number[] = [];
  const nothing = () => Promise.resolve(undefined);
  const source = { parameters: inventory, headIsTied: false } as unknown as TensorSource;
  const pictures = { pictures: [], pixels: () => Promise.reject(new Error('There are none.')) };
  const student = new Student(source, resolveSchemes(recipe, inventory), recipe.fixes, parameters, '.');
  const weights = new Map(
    student.bilevelNames('vision').map((name) => {
      const [rows, columns] = student.spec(name).shape;
      return [name, { scheme: student.bilevelScheme(name)!, rows, columns }] as const;
    }),
  );
  const context = {
    ...{
      config,
      recipe,
      student,
      pictures,
      original: parameters,
      samples: [],
      seed: 5,
      threads: 1,
      work: '.',
    },
    teacher: { config, parameters, pictures, samples: [] },
    checkpoints: { finished: nothing, underWay: nothing, step: nothing, finish: nothing },
    device: await openDevice(ort, 'cpu'),
    reporter: {
      ...{ start() {}, progress() {}, finish() {}, note() {}, stopRequested: () => false },
      event: (name: string, fields: Readonly<Record<string, unknown>>) => {
        if (name === 'loss') losses.push(fields.total as number);
      },
    },
  };
  const stores = { quantizedInput: storeOf(quantized), floatInput: storeOf(float), target: storeOf(target) };
  return { losses, task: { block: BLOCK, name: 'test', context, runner, weights, parameters, ...stores } };
}

/** Each value from the float model where a byte of the stream is below 256 · share; four bytes of a draw, low first. */
function mixed(share: number): Float32Array {
  const random = createRandom(5, RANDOM.mixing, 0, 0, 0);
  const bytes = new Uint8Array(
    Uint32Array.from({ length: float.length / 4 }, () => random.next() * 2 ** 32).buffer,
  );
  return float.map((value, i) => (bytes[i] < 256 * share ? value : quantized[i]));
}

/** Where AdaRound's weights start, as they are between codes: clamped to what codes reach. */
function withinReach(tensors: ReadonlyMap<string, BilevelTensor>): ReadonlyMap<string, Float32Array> {
  return new Map(
    [...tensors].map(([name, { scheme, scale, zero }]) => [
      name,
      parameters.get(name)!.map((value, i) => {
        const group = Math.floor(i / scheme.groupSize);
        const [least, most] = [-zero[group], 3 - zero[group]].map((code) => code * scale[group]);
        return Math.min(most, Math.max(least, value));
      }),
    ]),
  );
}

const nearest = (task: BlockTask) => withOutcome(parameters, { tensors: roundToNearest(task) });
const between = (task: BlockTask) => withChanges(parameters, withinReach(roundToNearest(task)));

test.each<[string, BlockMethod, (task: BlockTask) => Parameters]>([
  ['blockwise', blockwiseMethod, nearest],
  ['adaround', adaroundMethod, between],
])(
  '%s trains a block on its inputs mixed in the share that the recipe says (QDrop)',
  async (_name, method, start) => {
    const found: number[] = [];
    for (const share of [0, 0.25, 0.5, 1]) {
      const { task, losses } = await taskFor(share);
      await method.run(task);
      const y = await runner.forward(
        BLOCK,
        start(task),
        share === 0 ? quantized : share === 1 ? float : mixed(share),
      );
      const expected = y.reduce((sum, value, i) => sum + (value - target[i]) ** 2, 0) / ROWS;
      expect(Math.abs(losses[0] / expected - 1), `share ${share}`).toBeLessThan(1e-4);
      found.push(losses[0]);
    }
    // Otherwise the shares could be exchanged.
    found.forEach((a, i) =>
      found.slice(i + 1).forEach((b) => expect(Math.abs(a / b - 1)).toBeGreaterThan(1e-3)),
    );
  },
);

/** LayerNorm of the block's input in float64: what q, k and v multiply. */
function normalized(x: Float32Array): Float64Array {
  const bias = parameters.get(`${PREFIX}.layernorm_before.bias`)!;
  const y = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += WIDTH) {
    const values = Array.from(x.subarray(row, row + WIDTH));
    const mean = values.reduce((a, b) => a + b, 0) / WIDTH;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / WIDTH;
    const deviation = Math.sqrt(variance + config.vision.layerNormEps);
    values.forEach((value, j) => (y[row + j] = ((value - mean) / deviation) * gains[j] + bias[j]));
  }
  return y;
}

test('errors are weighted by what a linear multiplies behind the quantized blocks', async () => {
  const { task } = await taskFor(0.5);
  const x = normalized(quantized);
  const sum = (await gatherGrams(task)).get(QUERY)!;
  for (let i = 0; i < WIDTH; i++) {
    for (let j = 0; j < WIDTH; j++) {
      let expected = 0;
      for (let row = 0; row < ROWS; row++) expected += x[row * WIDTH + i] * x[row * WIDTH + j];
      expect(sum.matrix[i * WIDTH + j]).toBeCloseTo(expected, 2);
    }
  }

  // ‖X(w − ŵ)‖², the weights' own error left out of account.
  const original = parameters.get(QUERY)!;
  const errorOf = (values: Float32Array): { output: number; weights: number } => {
    let [output, weights] = [0, 0];
    for (let out = 0; out < WIDTH; out++) {
      for (let row = 0; row < ROWS; row++) {
        let difference = 0;
        for (let j = 0; j < WIDTH; j++) {
          difference += x[row * WIDTH + j] * (values[out * WIDTH + j] - original[out * WIDTH + j]);
        }
        output += difference ** 2;
      }
    }
    values.forEach((value, i) => (weights += (value - original[i]) ** 2));
    return { output, weights };
  };
  const valuesOf = async (method: BlockMethod, from: BlockTask) => {
    const tensor = (await method.run(from)).tensors.get(QUERY)!;
    return errorOf(dequantizeBilevel(tensor.codes, tensor));
  };
  const rounded = errorOf(nearest(task).get(QUERY)!);
  const searched = await valuesOf(clipMethod, task);
  // On other activations, equal in all channels, the same search minds weights alike.
  const level = new Map([
    ...parameters,
    [`${PREFIX}.layernorm_before.weight`, new Float32Array(WIDTH).fill(1)],
  ]);
  const unweighted = await valuesOf(clipMethod, { ...task, parameters: level });
  expect(searched.output).toBeLessThan(0.7 * rounded.output);
  expect(searched.output).toBeLessThan(0.8 * unweighted.output);
  expect(unweighted.weights).toBeLessThan(searched.weights);
});
