import {
  BILEVEL_2BIT_G16,
  BILEVEL_2BIT_G16_MIN,
  maxCode,
  quantizeBilevelTensor,
  zeroPoints,
} from '@speedq/format';
import { elementCount, parameterInventory, parseConfig } from '@speedq/model';
import type { TensorSource } from '@speedq/model';
import { VisionForward } from '@speedq/onnx';
import type { Parameters } from '@speedq/onnx';
import * as ort from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { createRandom } from '../../data/random.ts';
import { resolveSchemes } from '../../recipes/resolve-schemes.ts';
import { RECIPES } from '../../recipes/recipes.ts';
import { picoConfig } from '../../train/pico-config.ts';
import type { Checkpoints } from '../checkpoints.ts';
import type { PictureSet } from '../data/picture-set.ts';
import { createReporter } from '../reporter.ts';
import { openDevice } from '../device.ts';
import { Student } from '../student.ts';
import { quantizeBlocks } from '../blocks/quantize-blocks.ts';
import { adaroundMethod, regulariserAt } from './adaround.ts';
import { settleRounding, startRounding } from './rounding.ts';
import { mixInputs } from './train-block.ts';

const normal = (seed: number, length: number, deviation: number): Float32Array => {
  const random = createRandom(seed);
  return new Float32Array(length).map(
    () => (random.next() + random.next() + random.next() + random.next() - 2) * Math.sqrt(3) * deviation,
  );
};

test.each([
  ['zero points', BILEVEL_2BIT_G16],
  ['minima', BILEVEL_2BIT_G16_MIN],
])('α starts at the weight itself and settles on the nearest code: %s', (_, scheme) => {
  const weight = normal(1, 32 * 48, 0.3);
  const { parameters, base, initial } = startRounding(weight, 32, 48, scheme, {});
  const qmax = maxCode(scheme);
  const zero = zeroPoints(parameters);
  for (let i = 0; i < weight.length; i++) {
    const group = Math.floor(i / 16);
    const h = Math.min(1, Math.max(0, 1.2 / (1 + Math.exp(-initial[i])) - 0.1));
    const soft = parameters.scale[group] * (Math.min(qmax, Math.max(0, base[i] + h)) - zero[group]);
    const low = -parameters.scale[group] * zero[group];
    const high = parameters.scale[group] * (qmax - zero[group]);
    expect(soft).toBeCloseTo(Math.min(high, Math.max(low, weight[i])), 5);
  }
  const { codes } = quantizeBilevelTensor(weight, 32, 48, scheme);
  const settled = settleRounding({ parameters, base }, initial).codes;
  // Ties aside, which go to even in one and up in the other.
  expect(settled.filter((code, i) => code !== codes[i]).length).toBeLessThan(3);
});

test('the regulariser is off for the first fifth, then sharpens', () => {
  const stage = {
    ...RECIPES['2bit'].stage1,
    iterations: 100,
    lambda: 0.01,
    betaStart: 20,
    betaEnd: 2,
    warmFraction: 0.2,
  };
  expect(regulariserAt(19, stage)).toEqual({ lambda: 0, beta: 20 });
  expect(regulariserAt(20, stage)).toEqual({ lambda: 0.01, beta: 20 });
  expect(regulariserAt(60, stage)).toEqual({ lambda: 0.01, beta: 11 });
});

test('inputs mix element by element in the given share', () => {
  const mixed = new Float32Array(10_001);
  mixInputs(new Float32Array(10_001).fill(1), new Float32Array(10_001).fill(2), 0.25, createRandom(3), mixed);
  const share = mixed.filter((value) => value === 2).length / mixed.length;
  expect(share).toBeGreaterThan(0.23);
  expect(share).toBeLessThan(0.27);
  mixInputs(
    new Float32Array(9).fill(1),
    new Float32Array(9).fill(2),
    0,
    createRandom(3),
    mixed.subarray(0, 9),
  );
  expect([...mixed.subarray(0, 9)]).toEqual(new Array(9).fill(1));
});

test('learned rounding brings the encoder nearer to the float one than rounding to nearest', async () => {
  const json = picoConfig({ vocabulary: 128, imageContext: 5, messageEnd: 6, endOfText: 7 });
  const vision = { hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, num_attention_heads: 2 };
  const config = parseConfig({
    ...json,
    image_seq_length: 4,
    vision_config: { ...json.vision_config, ...vision, image_size: [56, 56] },
  });
  const inventory = parameterInventory(config);
  const original = new Map(
    inventory.map(({ name, shape, role }, i) => {
      const inputs = elementCount(shape.slice(1));
      const values = normal(i, elementCount(shape), 1 / Math.sqrt(inputs));
      return [name, role === 'norm' || role === 'layer-scale' ? values.map((v) => 1 + 0.1 * v) : values];
    }),
  );
  const source = { parameters: inventory, headIsTied: false } as unknown as TensorSource;
  const base = RECIPES['2bit'];
  const recipe = {
    ...base,
    stage1: {
      ...base.stage1,
      ...{ iterations: 300, batchSize: 4, calibrationImages: 24 },
      ...{ learningRate: 0.1, lambda: 0.2, betaStart: 8 },
    },
  };
  const student = () => new Student(source, resolveSchemes(recipe, inventory), recipe.fixes, original, '.');
  // Smooth pictures: rounding to nearest is already best for inputs that have nothing in common.
  const pixels = (index: number) => {
    const [a, b, c] = normal(1000 + index, 3, 2);
    return new Float32Array(3 * 56 * 56).map(
      (_, i) => a * Math.sin((i % 56) / 9) + b * Math.cos(i / 600) + c / 2,
    );
  };
  const pictures = {
    pictures: Array.from({ length: 24 }, () => ({ tiles: 1 })),
    pixels: (index: number) => Promise.resolve(pixels(index)),
  } as unknown as PictureSet;
  const nothing = () => Promise.resolve(undefined);
  const checkpoints = {
    finished: nothing,
    underWay: nothing,
    step: nothing,
    finish: nothing,
  } as unknown as Checkpoints;
  const trained = student();
  const errors = await quantizeBlocks(
    {
      ...{ config, recipe, original, pictures, checkpoints, seed: 1, threads: 1, work: '.', samples: [] },
      teacher: { config, parameters: original, pictures, samples: [] },
      student: trained,
      device: await openDevice(ort, 'cpu'),
      reporter: createReporter(() => {}, new SharedArrayBuffer(4)),
    },
    'vision',
    adaroundMethod,
    24,
  );
  for (const { nearest, trained } of errors) expect(trained).toBeLessThan(0.8 * nearest);

  // On pictures it has not seen, through another graph.
  const nearest = student();
  nearest.roundToNearest('vision');
  const forward = await VisionForward.create(ort, config, { threads: 1 });
  let [trainedError, nearestError] = [0, 0];
  for (let index = 100; index < 108; index++) {
    const wanted = await forward.run(original, pixels(index), 1);
    const squared = async (parameters: Parameters) => {
      const found = await forward.run(parameters, pixels(index), 1);
      return found.reduce((sum, value, i) => sum + (value - wanted[i]) ** 2, 0);
    };
    trainedError += await squared(trained.parameters);
    nearestError += await squared(nearest.parameters);
  }
  await forward.release();
  expect(trainedError).toBeLessThan(0.7 * nearestError);
});
