import * as onnxruntime from 'onnxruntime-node';
import { BILEVEL_2BIT_G16 } from '@speedq/format';
import { EMBEDDING, HEAD, elementCount, parameterInventory, parseConfig } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { ADAMW_DEFAULTS, attentionMask, createQatStep } from '@speedq/onnx';
import type { OrtModule, Partition, QatInputs } from '@speedq/onnx';
import { createRandom } from '../data/random.ts';
import { Optimizer } from '../quantize/optimizer.ts';
import { picoConfig } from '../train/pico-config.ts';
import { GemmRun, workOperations } from './gemm-rate.ts';
import type { LinearWork } from './gemm-rate.ts';

const ort: OrtModule = onnxruntime;

/** As many as the tokenizer of pico has, about. */
const VOCABULARY = 1536;

export interface TrainBenchOptions {
  readonly partition: Partition;
  readonly threads: number;
  /** Pictures, each with one sequence, in a step. */
  readonly batch: number;
  readonly length: number;
  /** Supervised tokens per sequence. */
  readonly answers: number;
  readonly repetitions: number;
  readonly onRepetition?: (done: number) => void;
}

export interface TrainBenchResult {
  /** 6·N·T of the language model's linears, and what projector and head take. */
  readonly operations: number;
  readonly stepMilliseconds: number;
  /** Update of the parameters alone; part of the step. */
  readonly optimizerMilliseconds: number;
  readonly gemmMilliseconds: number;
  readonly stepGflops: number;
  readonly gemmGflops: number;
  /** stepGflops / gemmGflops: the share of the step's time that its matrix products alone would take. */
  readonly ratio: number;
}

/**
 * A stage-3 step at pico's shapes (2-bit fake quantization, cross-entropy and distillation, AdamW) beside
 * onnxruntime's Gemm on the same shapes, alternating, so that other load hits both; medians.
 */
export async function benchTrain(options: TrainBenchOptions): Promise<TrainBenchResult> {
  const { batch, length, threads, partition, repetitions, onRepetition } = options;
  const config = parseConfig(
    picoConfig({ vocabulary: VOCABULARY, imageContext: 3, messageEnd: 2, endOfText: 1 }),
  );
  const answers = batch * options.answers;
  const trains = (name: string) => !name.startsWith('vision_tower.') && name !== EMBEDDING && name !== HEAD;
  const step = await createQatStep(ort, config, {
    ...{ batch, length, answers, tiles: batch, partition, threads, trains },
    scheme: (name) => (/\.layers\..*_proj\.weight$/.test(name) ? BILEVEL_2BIT_G16 : undefined),
    loss: { ceWeight: 1, kdWeight: 1, labelSmoothing: 0.1, teacher: 'rows' },
  });
  const random = createRandom(1);
  const fixed = parameterInventory(config).map(({ name, shape, role }) => {
    const data = Float32Array.from({ length: elementCount(shape) }, () =>
      role === 'norm' ? 1 : (random.next() - 0.5) / 8,
    );
    return { name, shape, data };
  });
  const optimizer = new Optimizer(fixed.filter(({ name }) => trains(name)));
  const teacher = new Map(fixed.map(({ name, data }) => [name, data]));
  const parameters = new Map([...teacher, ...optimizer.views()]);
  const inputs = randomInputs(config, options, answers, teacher);

  const work = stepWork(config, { batch, length, answers });
  const gemm = await GemmRun.create(ort, work, threads);
  const times = { step: [] as number[], optimizer: [] as number[], gemm: [] as number[] };
  // The first round warms caches and memory pools.
  for (let i = -1; i < repetitions; i++) {
    const start = performance.now();
    const { gradients } = await step.run(parameters, inputs);
    const updating = performance.now();
    optimizer.update(gradients, { ...ADAMW_DEFAULTS, learningRate: 1e-5, clipNorm: 1 });
    const middle = performance.now();
    await gemm.run();
    const end = performance.now();
    if (i < 0) continue;
    times.step.push(middle - start);
    times.optimizer.push(middle - updating);
    times.gemm.push(end - middle);
    onRepetition?.(i + 1);
  }
  await step.release();
  await gemm.release();
  const operations = workOperations(work);
  const [stepMilliseconds, optimizerMilliseconds, gemmMilliseconds] = [
    median(times.step),
    median(times.optimizer),
    median(times.gemm),
  ];
  const rate = (milliseconds: number) => operations / milliseconds / 1e6;
  return {
    ...{ operations, stepMilliseconds, optimizerMilliseconds, gemmMilliseconds },
    stepGflops: rate(stepMilliseconds),
    gemmGflops: rate(gemmMilliseconds),
    ratio: gemmMilliseconds / stepMilliseconds,
  };
}

/** The linears of a step. The head is frozen, and the teacher's runs forward only. */
function stepWork(
  config: InternVLConfig,
  { batch, length, answers }: { batch: number; length: number; answers: number },
): LinearWork[] {
  const all = ['y', 'dx', 'dw'] as const;
  const byShape = new Map<string, LinearWork>();
  const add = (rows: number, [out, inputs]: readonly number[], products: LinearWork['products']) => {
    const key = [rows, out, inputs, products].join();
    const count = (byShape.get(key)?.count ?? 0) + 1;
    byShape.set(key, { rows, inputs, out, count, products });
  };
  for (const { name, part, role, shape } of parameterInventory(config)) {
    if (role !== 'linear') continue;
    if (part === 'language') add(batch * length, shape, all);
    if (part === 'projector') add(batch * config.tokensPerTile, shape, all);
    if (name === HEAD) {
      add(answers, shape, ['y', 'dx']);
      add(answers, shape, ['y']);
    }
  }
  return [...byShape.values()];
}

function randomInputs(
  config: InternVLConfig,
  { batch, length }: TrainBenchOptions,
  answers: number,
  teacherParameters: ReadonlyMap<string, Float32Array>,
): QatInputs {
  const random = createRandom(2);
  const floats = (count: number) => Float32Array.from({ length: count }, () => random.next() - 0.5);
  const below = (count: number, limit: number) =>
    BigInt64Array.from({ length: count }, () => BigInt(Math.floor(random.next() * limit)));
  const { tokensPerTile, vision, language } = config;
  const rows = batch * length;
  const seesPicture = (row: number) => row % length < tokensPerTile;
  return {
    inputIds: below(rows, language.vocabSize),
    positions: Array.from({ length: rows }, (_, i) => i % length),
    mask: attentionMask(new Int32Array(rows), batch, length),
    visionFeatures: floats(batch * (4 * tokensPerTile + 1) * vision.hiddenSize),
    imageIndex: BigInt64Array.from({ length: rows }, (_, i) =>
      BigInt(seesPicture(i) ? Math.floor(i / length) * tokensPerTile + (i % length) : 0),
    ),
    imageMask: Float32Array.from({ length: rows }, (_, i) => Number(seesPicture(i))),
    selected: below(answers, rows),
    targets: below(answers, language.vocabSize),
    weights: new Float32Array(answers).fill(1 / answers),
    gamma: 0.5,
    teacherRows: floats(answers * language.hiddenSize),
    teacherParameters,
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}
