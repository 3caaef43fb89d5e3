import { parseConfig, parameterInventory } from '@speedq/model';
import { expect, test } from 'vitest';
import { picoConfig } from '../train/pico-config.ts';
import { METHODS } from '../quantize/methods/names.ts';
import type { Method } from '../quantize/methods/names.ts';
import { estimateMethod } from './estimate.ts';
import { estimateContext } from './estimate-stage.ts';
import type { MachineRates } from './machine.ts';
import { RECIPES, languageOnly } from './recipes.ts';
import type { Recipe } from './schema.ts';
import { measureSizes } from './workload.ts';
import type { Workload } from './workload.ts';

const json = picoConfig({ vocabulary: 128, imageContext: 5, messageEnd: 6, endOfText: 7 });
// Four patches of 14 and the class token; an MLP of 32 to 48; 2 of 4 heads hold keys.
const config = parseConfig({
  ...json,
  image_seq_length: 1,
  vision_config: {
    ...json.vision_config,
    ...{ hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, num_attention_heads: 2 },
    image_size: [28, 28],
  },
  text_config: {
    ...json.text_config,
    ...{ hidden_size: 64, intermediate_size: 96, num_hidden_layers: 3, max_position_embeddings: 64 },
    ...{ num_attention_heads: 4, num_key_value_heads: 2 },
  },
});
const parameters = parameterInventory(config);
const recipe = RECIPES.quick;
const workload: Workload = { tiles: 10, conversations: 40, heldOut: 4, tokens: 20, answers: 5 };
const scheme = { packed: 3e7, rounded: 3e7, searched: 7e5, corrected: 4e5 };
const rates: MachineRates = {
  ...{ gemm: 1e11, doubles: 4e10, schemes: { '2bit-g16': scheme, '4bit-g32': scheme } },
  ...{ symmetric: 7e7, adamw: 1e8, sums: 3e8, quadratic: 6e8 },
};
const methods = METHODS.filter((method) => method !== 'rtn');
const estimate = (method: Exclude<Method, 'rtn'>, own: Recipe = recipe, work = workload, threads = 1) =>
  estimateMethod(estimateContext(own, config, parameters, { workload: work, rates, threads }), method);

test('sizes of blocks, counted by hand', () => {
  const { vision, language } = measureSizes(recipe, config, parameters, 20);
  const headDim = config.language.headDim;
  const encoder = 4 * 32 * 32 + 2 * 32 * 48;
  const decoder = 2 * 64 * 4 * headDim + 2 * 64 * 2 * headDim + 3 * 64 * 96;
  expect(vision).toMatchObject({ blocks: 2, rows: 5, width: 32, weights: encoder });
  expect(vision.forward).toBe(2 * encoder * 5 + 4 * 5 * 5 * 32);
  // Q, k and v share an input, gate and up another.
  expect(vision.inputs).toEqual([32, 32, 32, 48]);
  expect(language).toMatchObject({ blocks: 3, rows: 20, width: 64, weights: decoder });
  expect(language.forward).toBe(2 * decoder * 20 + 4 * 20 * 20 * 4 * headDim);
  expect(language.inputs).toEqual([64, 4 * headDim, 64, 96]);
});

test('clip, counted by hand: passes through the encoder, Gram matrices, search', () => {
  const { stages } = estimate('clip');
  const found = stages.find(({ name }) => name === 'clip, vision')!;
  const { weights, forward } = measureSizes(recipe, config, parameters, 20).vision;
  // Ten tiles: two outputs, two errors, once for the Gram matrices.
  expect(found.flops).toBe(2 * (50 * forward + 10 * 2 * 5 * (3 * 32 ** 2 + 48 ** 2)));
  expect(found.seconds).toBeGreaterThan((2 * weights) / scheme.searched);
});

test.each(methods)('%s: more to do takes longer and never less memory', (method) => {
  const base = estimate(method);
  const more = estimate(method, recipe, { ...workload, tokens: 40, heldOut: 8 });
  expect(more.seconds).toBeGreaterThan(base.seconds);
  expect(more.peakBytes).toBeGreaterThanOrEqual(base.peakBytes);
  const { stage1, stage3, blockwise } = recipe;
  const longer = estimate(method, {
    ...recipe,
    stage1: { ...stage1, calibrationImages: 10, iterations: 2 * stage1.iterations },
    stage3: { ...stage3, steps: 2 * stage3.steps },
    blockwise: { ...blockwise, iterations: 2 * blockwise.iterations },
    calibration: { conversations: 40 },
  });
  expect(longer.seconds).toBeGreaterThan(base.seconds);
  expect(estimate(method, languageOnly(recipe)).seconds).toBeLessThan(base.seconds);
});

test.each(methods)('%s: threads take processors, not less memory', (method) => {
  const [one, two] = [estimate(method), estimate(method, recipe, workload, 2)];
  expect(one.processorSeconds).toBeCloseTo(one.seconds, 9);
  expect(two.seconds).toBeCloseTo(one.seconds, 9);
  expect(two.processorSeconds).toBeGreaterThan(one.processorSeconds);
  expect(two.peakBytes).toBe(one.peakBytes);
});

test('a method is its stages: their sum in time, their most in memory', () => {
  const { stages, seconds, peakBytes } = estimate('best');
  expect(stages.map(({ name }) => name)).toEqual([
    ...['reading and packing', 'stage 1', 'stage 2', 'blocks of stage 3', 'stage 3', 'measuring the result'],
  ]);
  expect(seconds).toBeCloseTo(
    stages.reduce((sum, stage) => sum + stage.seconds, 0),
    9,
  );
  expect(peakBytes).toBe(Math.max(...stages.map((stage) => stage.peakBytes)));
});

test('the language model alone: no stage of the encoder by blocks', () => {
  const names = estimate('gptq', languageOnly(recipe)).stages.map(({ name }) => name);
  expect(names).toEqual(['reading and packing', 'gptq, language', 'measuring the result']);
});
