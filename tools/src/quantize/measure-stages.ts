import type { InternVLConfig, TensorSource } from '@speedq/model';
import { IGNORED } from '@speedq/onnx';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRandom } from '../data/random.ts';
import { resolveSchemes } from '../recipes/resolve-schemes.ts';
import type { Recipe } from '../recipes/schema.ts';
import { quantizeBlocks } from './blocks/quantize-blocks.ts';
import type { Checkpoints } from './checkpoints.ts';
import { ort } from './context.ts';
import type { StageContext } from './context.ts';
import type { Sample } from './data/samples.ts';
import { openDevice } from './device.ts';
import { trainLanguageModel } from './language-stage.ts';
import { adaroundMethod } from './methods/adaround.ts';
import { readParameters } from './parameter-store.ts';
import type { Reporter } from './reporter.ts';
import { Student } from './student.ts';

export interface MeasureOptions {
  readonly config: InternVLConfig;
  readonly tensors: TensorSource;
  readonly recipe: Recipe;
  readonly threads: number;
  /** Updates of each stage, at least 2; the first, which also compiles, does not count. */
  readonly updates: number;
  /** Tokens of a sequence, one tile's included. */
  readonly tokens: number;
  readonly onProgress: (label: string, done: number) => void;
  readonly stopRequested: () => boolean;
}

export interface MeasuredStage {
  readonly name: string;
  /** Tiles or sequences in an update. */
  readonly batchSize: number;
  /** Of an update, the median. */
  readonly seconds: number;
  /** Of processors, likewise: what a busy machine does not change much. */
  readonly processorSeconds: number;
  /** Of everything, setting up included. */
  readonly totalSeconds: number;
  /** Of the process, from its start. */
  readonly peakBytes: number;
}

/**
 * Runs the first block of stage 1 and some steps of stage 3 as quantize does, on noise, and takes their time and
 * memory. Needs room for the float32 weights twice in the folder for temporary files, where they do not fit into memory.
 */
export async function measureStages(options: MeasureOptions): Promise<MeasuredStage[]> {
  const work = await mkdtemp(join(tmpdir(), 'speedq-measure-'));
  try {
    const { config, recipe, updates } = options;
    const stage1 = { ...recipe.stage1, iterations: updates, batchSize: 1, calibrationImages: 2 };
    const stage3 = {
      ...recipe.stage3,
      steps: updates,
      batchSize: 1,
      microBatch: 1,
      packing: 0,
      gammaBatches: 1,
      clipSearchTokens: 0,
    };
    const short = { ...recipe, stage1, stage3 };
    const original = await readParameters(options.tensors, work);
    const device = await openDevice(ort, 'cpu');
    const data = noise(config, options.tokens);
    const contextFor = (reporter: Reporter, part: InternVLConfig): StageContext => ({
      ...{ config: part, recipe: short, seed: 0, threads: options.threads, device, work, reporter, original },
      ...data,
      teacher: { config: part, parameters: original, ...data },
      checkpoints: NO_CHECKPOINTS,
      student: new Student(
        options.tensors,
        resolveSchemes(short, options.tensors.parameters),
        short.fixes,
        original,
        work,
      ),
    });
    const oneBlock = { ...config, vision: { ...config.vision, numLayers: 1 } };
    return [
      await timed(options, 'stage 1, a block', (reporter) =>
        quantizeBlocks(contextFor(reporter, oneBlock), 'vision', adaroundMethod, stage1.calibrationImages),
      ),
      await timed(options, 'stage 3', (reporter) => trainLanguageModel(contextFor(reporter, config))),
    ];
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function timed(
  { updates, onProgress, stopRequested }: MeasureOptions,
  name: string,
  run: (reporter: Reporter) => Promise<unknown>,
): Promise<MeasuredStage> {
  const begin = performance.now();
  let last = { wall: begin, processor: process.cpuUsage() };
  let times: { readonly wall: number; readonly processor: number }[] = [];
  await run({
    // Steps before the updates are reported too; the updates are the last.
    start: () => (times = []),
    progress(done) {
      const now = { wall: performance.now(), processor: process.cpuUsage() };
      const { user, system } = process.cpuUsage(last.processor);
      times.push({ wall: (now.wall - last.wall) / 1000, processor: (user + system) / 1e6 });
      last = now;
      onProgress(name, done);
    },
    finish: () => {},
    note: () => {},
    event: () => {},
    stopRequested,
  });
  const counted = times.slice(-updates).slice(1);
  const median = (kind: 'wall' | 'processor') =>
    counted.map((time) => time[kind]).toSorted((a, b) => a - b)[counted.length >> 1];
  return {
    ...{ name, batchSize: 1 },
    seconds: median('wall'),
    processorSeconds: median('processor'),
    totalSeconds: (performance.now() - begin) / 1000,
    peakBytes: process.resourceUsage().maxRSS * 1024,
  };
}

const NOTHING = () => Promise.resolve(undefined);
/** Nothing is resumed, nothing written. */
const NO_CHECKPOINTS: Pick<Checkpoints, 'finished' | 'finish' | 'underWay' | 'step'> = {
  finished: NOTHING,
  finish: NOTHING,
  underWay: NOTHING,
  step: NOTHING,
};

/** Pictures of one tile, and a conversation of the wanted length that is an answer behind its picture. */
function noise(
  { vision, tokensPerTile, imageTokenId, language }: InternVLConfig,
  tokens: number,
): Pick<StageContext, 'pictures' | 'samples'> {
  const random = createRandom(1);
  const pixels = Float32Array.from({ length: 3 * vision.imageSize ** 2 }, () => 4 * random.next() - 2);
  const picture = { path: '', tiles: 1, maxTiles: 1, hash: '' };
  const ids = Array.from({ length: tokens }, (_, t) =>
    t < tokensPerTile ? imageTokenId : random.int(language.vocabSize),
  );
  const sample: Sample = {
    ids: ids.map((id, t) => (t >= tokensPerTile && id === imageTokenId ? 0 : id)),
    labels: ids.map((id, t) => (t > tokensPerTile ? id : IGNORED)),
    pictures: [0],
    tiles: 1,
  };
  return {
    pictures: { pictures: [picture, picture], pixels: () => Promise.resolve(pixels) },
    samples: [sample],
  };
}
