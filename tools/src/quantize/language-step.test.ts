import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { elementCount, parameterInventory } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { IGNORED } from '@speedq/onnx';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRandom } from '../data/random.ts';
import { RECIPES } from '../recipes/recipes.ts';
import { resolveSchemes } from '../recipes/resolve-schemes.ts';
import { loadPico } from '../train/pico.ts';
import { ort } from './context.ts';
import type { StageContext } from './context.ts';
import type { MicroBatch } from './data/micro-batch.ts';
import { packConversations } from './data/packing.ts';
import type { Sample } from './data/samples.ts';
import { openDevice } from './device.ts';
import { openVisionFeatures } from './features.ts';
import { LanguageStep } from './language-step.ts';
import { ParameterStore } from './parameter-store.ts';
import { Student } from './student.ts';
import { Teacher } from './teacher.ts';

/** Pico's shape with fewer layers and random weights, so that every conversation's rows differ. */
let config: InternVLConfig;
let context: StageContext;
let work: string;

/** Tiles of each picture. */
const PICTURES = [1, 3, 2];
/** Pictures of each conversation and its tokens beside theirs, 5 of them at its end supervised. */
const CONVERSATIONS: readonly { readonly pictures: readonly number[]; readonly text: number }[] = [
  { pictures: [0], text: 13 },
  { pictures: [], text: 11 },
  { pictures: [1], text: 21 },
  { pictures: [2, 0], text: 17 },
  { pictures: [], text: 29 },
  { pictures: [0], text: 8 },
  { pictures: [], text: 7 },
];
const EVERYTHING = [...CONVERSATIONS.keys()];

function conversation({ pictures, text }: (typeof CONVERSATIONS)[number], seed: number): Sample {
  const random = createRandom(3, seed);
  const tiles = pictures.reduce((sum, picture) => sum + PICTURES[picture], 0);
  const word = () => 300 + random.int(500);
  const before = Math.floor(text / 2);
  const ids = [
    ...Array.from({ length: before }, word),
    ...new Array<number>(tiles * config.tokensPerTile).fill(config.imageTokenId),
    ...Array.from({ length: text - before }, word),
  ];
  // An answer begins at the very first token of one: nothing in front of it may predict it.
  const answered = (t: number) => t >= ids.length - 5 || (seed === 1 && t < 2);
  return { ids, labels: ids.map((id, t) => (answered(t) ? id : IGNORED)), pictures, tiles };
}

beforeAll(async () => {
  const pico = await loadPico(new URL('../../models/pico/', import.meta.url).pathname);
  const { vision, language } = pico.config;
  config = {
    ...pico.config,
    vision: { ...vision, numLayers: 1 },
    language: { ...language, numLayers: 2 },
  };
  work = await mkdtemp(join(tmpdir(), 'speedq-step-'));
  const random = createRandom(4);
  const parameters = parameterInventory(config);
  const original = new ParameterStore({ folder: work });
  for (const { name, shape, role } of parameters) {
    const spread = 3 / Math.sqrt(shape.at(-1)!);
    const mean = role === 'norm' || role === 'layer-scale' ? 1 : 0;
    original.set(
      name,
      Float32Array.from({ length: elementCount(shape) }, () => mean + spread * (random.next() - 0.5)),
    );
  }
  const pixels = PICTURES.map((tiles) =>
    Float32Array.from({ length: tiles * 3 * vision.imageSize ** 2 }, () => 4 * random.next() - 2),
  );
  const recipe = RECIPES['2bit'];
  const read = (name: string) => Promise.resolve(original.get(name)!);
  const source = {
    ...{ parameters, headIsTied: false, read, readRows: read },
    parameter: (name: string) => parameters.find((spec) => spec.name === name)!,
  };
  const reporter = { start() {}, progress() {}, finish() {}, note() {}, event() {} };
  const nothing = () => Promise.resolve(undefined);
  const samples = CONVERSATIONS.map(conversation);
  const pictures = {
    pictures: PICTURES.map((tiles) => ({ tiles, path: '', maxTiles: 12, hash: '' })),
    pixels: (index: number) => Promise.resolve(pixels[index]),
  };
  context = {
    ...{ config, recipe, original, work, samples, pictures, seed: 1, threads: 1 },
    teacher: { config, parameters: original, samples, pictures },
    student: new Student(source, resolveSchemes(recipe, parameters), recipe.fixes, original, work),
    checkpoints: { finished: nothing, finish: nothing, underWay: nothing, step: nothing },
    reporter: { ...reporter, stopRequested: () => false },
    device: await openDevice(ort, 'cpu'),
  };
});
afterAll(async () => {
  await context.device.release();
  await rm(work, { recursive: true, force: true });
});

/** Losses and gradients of the conversations, cut into micro-batches in two ways. */
async function both(cuts: readonly (readonly MicroBatch[])[], options: { readonly unshifted: boolean }) {
  const { student } = context;
  const features = await openVisionFeatures(context, student.parameters, 'features-student');
  const teacher = await Teacher.open(context, options);
  const trained = student.namesOf('projector', 'language');
  const step = new LanguageStep(context, {
    features,
    scheme: (name) => student.bilevelScheme(name),
    trains: (name) => trained.includes(name),
    loss: { ceWeight: 0.5, kdWeight: 1, labelSmoothing: 0.1 },
    distillation: { teacher, gamma: 'per-token', summed: options.unshifted, ...options },
  });
  const values = new Map(trained.map((name) => [name, student.parameters.get(name)!]));
  const results = [];
  for (const microBatches of cuts) {
    const { losses, gradients } = await step.run({ samples: EVERYTHING, microBatches }, 0, values);
    const arrays = [...gradients].map(([name, { data }]) => [name, (data as Float32Array).slice()] as const);
    results.push({ losses, gradients: new Map(arrays) });
  }
  await step.release();
  await teacher.release();
  await features.release();
  return results;
}

/** One by one, in steps of one shape. */
const alone = EVERYTHING.map((index): MicroBatch => ({
  sequences: [[index]],
  length: 160,
  tiles: 3,
  answers: 8,
}));

const relative = (value: number, expected: number) => Math.abs(value / expected - 1);

test.each([{ unshifted: false }, { unshifted: true }])(
  'packed conversations have the losses and gradients they have one by one, unshifted: $unshifted',
  async (options) => {
    // The longest, of 129 tokens, is longer than a sequence; the others share sequences with pictures and without.
    const packed = packConversations(context.samples, EVERYTHING, 126, options);
    expect(packed.map(({ sequences }) => sequences)).toEqual([[[2]], [[3]], [[0, 5, 4]], [[1, 6]]]);
    const [expected, found] = await both([alone, packed], options);
    expect(relative(found.losses.ce, expected.losses.ce)).toBeLessThan(1e-5);
    expect(relative(found.losses.kd, expected.losses.kd)).toBeLessThan(1e-5);
    expect([...found.gradients.keys()].sort()).toEqual(
      context.student.namesOf('projector', 'language').sort(),
    );
    for (const [name, gradient] of expected.gradients) {
      const other = found.gradients.get(name)!;
      const square = gradient.reduce((sum, value) => sum + value ** 2, 0);
      const difference = gradient.reduce((sum, value, i) => sum + (value - other[i]) ** 2, 0);
      expect(square, name).toBeGreaterThan(0);
      expect(Math.sqrt(difference / square), name).toBeLessThan(1e-5);
    }
  },
  120_000,
);
