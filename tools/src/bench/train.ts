import { BILEVEL_2BIT_G16 } from '@speedq/format';
import { EMBEDDING, HEAD, elementCount, parameterInventory } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { ADAMW_DEFAULTS, TeacherForward, attentionMask, createResidentStep } from '@speedq/onnx';
import type { Feed, FloatStorage, OrtModule, Partition, QatInputs } from '@speedq/onnx';
import { createRandom } from '../data/random.ts';
import type { Device } from '../quantize/device.ts';
import { GemmRun, workOperations } from './gemm-rate.ts';
import type { LinearWork } from './gemm-rate.ts';

export interface TrainBenchOptions {
  readonly config: InternVLConfig;
  readonly partition: Partition;
  readonly threads: number;
  /** Pictures of one tile, each with one sequence, in a step. */
  readonly batch: number;
  readonly length: number;
  /** Supervised tokens per sequence. */
  readonly answers: number;
  readonly repetitions: number;
  readonly onRepetition?: (done: number) => void;
}

export interface TrainBenchResult {
  /** 6·N·T of the linears; 2·N·T of the teacher's; the heads at supervised tokens. Attention is not counted. */
  readonly operations: number;
  readonly tokens: number;
  readonly stepMilliseconds: number;
  /** The teacher's forward pass; part of the step. */
  readonly teacherMilliseconds: number;
  /** Update of the parameters alone; part of the step. */
  readonly optimizerMilliseconds: number;
  readonly gemmMilliseconds: number;
  readonly tokensPerSecond: number;
  readonly stepGflops: number;
  /** Of the step's matrix products alone. */
  readonly gemmGflops: number;
  /** Of products of square matrices, where they are fastest. */
  readonly squareGflops: number;
  /** stepGflops / gemmGflops: the share of the step's time that its matrix products alone would take. */
  readonly ratio: number;
  /** How the teacher's weights are kept. */
  readonly teacherStorage: FloatStorage;
  readonly losses: readonly number[];
}

/** Square matrices are doubled until their products take this long, or are this wide. */
const SQUARE_MILLISECONDS = 200;
const WIDEST = 8192;

/**
 * A stage-3 step (2-bit fake quantization, the teacher's forward pass, cross-entropy and distillation, AdamW) on
 * random weights beside onnxruntime's Gemm on the same shapes, alternating, so that other load hits both; medians.
 */
export async function benchTrain(
  ort: OrtModule,
  device: Device,
  options: TrainBenchOptions,
): Promise<TrainBenchResult> {
  const { config, batch, length, threads, partition, repetitions, onRepetition } = options;
  const { memory, provider: executionProvider, frozen } = device;
  const answers = batch * options.answers;
  const shape = { ...{ batch, length, tiles: batch, partition, threads }, executionProvider, memory };
  const trains = (name: string) => !name.startsWith('vision_tower.') && name !== EMBEDDING && name !== HEAD;
  const weights = await uploadWeights(ort, device, config, trains);
  const optimizer = await device.openOptimizer(weights.trained);
  const teacher = await TeacherForward.create(ort, config, { ...shape, storage: frozen });
  const step = await createResidentStep(ort, config, {
    ...{ ...shape, answers, trains },
    scheme: (name) => (/\.layers\..*_proj\.weight$/.test(name) ? BILEVEL_2BIT_G16 : undefined),
    loss: { ceWeight: 1, kdWeight: 1, labelSmoothing: 0.1, teacher: { config, storage: frozen } },
  });
  const rows = await memory.zeros([answers, config.language.hiddenSize]);
  const mark = await memory.zeros([1]);
  // What comes from a device comes after what was asked of it before.
  const now = async () => {
    await memory.download(mark);
    return performance.now();
  };
  const inputs = randomInputs(config, options, answers);
  const work = stepWork(config, { batch, length, answers });
  const gemm = await GemmRun.create(ort, work, { threads, executionProvider, memory });
  const times = {
    step: [] as number[],
    teacher: [] as number[],
    optimizer: [] as number[],
    gemm: [] as number[],
  };
  const losses: number[] = [];
  // The first round warms caches and memory pools.
  for (let i = -1; i < repetitions; i++) {
    const start = await now();
    await teacher.forward(weights.teacher, inputs, inputs.selected, rows);
    const asked = await now();
    const { total } = await step.run(new Map([...weights.fixed, ...optimizer.parameters()]), {
      ...inputs,
      teacherRows: rows,
      teacherParameters: weights.teacher,
    });
    const updating = await now();
    await optimizer.update(step.gradients, { ...ADAMW_DEFAULTS, learningRate: 1e-5, clipNorm: 1 });
    const middle = await now();
    await gemm.run();
    const end = await now();
    losses.push(total);
    if (i < 0) continue;
    times.step.push(middle - start);
    times.teacher.push(asked - start);
    times.optimizer.push(middle - updating);
    times.gemm.push(end - middle);
    onRepetition?.(i + 1);
  }
  await gemm.release();
  const squareGflops = await squareRate(ort, device, threads);
  await step.release();
  await teacher.release();
  await optimizer.release();
  for (const tensor of [...weights.own, rows, mark]) memory.free(tensor);
  const operations = workOperations(work);
  const [stepMilliseconds, gemmMilliseconds] = [median(times.step), median(times.gemm)];
  const rate = (milliseconds: number) => operations / milliseconds / 1e6;
  const tokens = batch * length;
  return {
    ...{ operations, tokens, stepMilliseconds, gemmMilliseconds, squareGflops, losses },
    teacherMilliseconds: median(times.teacher),
    optimizerMilliseconds: median(times.optimizer),
    tokensPerSecond: (1000 * tokens) / stepMilliseconds,
    stepGflops: rate(stepMilliseconds),
    gemmGflops: rate(gemmMilliseconds),
    ratio: gemmMilliseconds / stepMilliseconds,
    teacherStorage: frozen,
  };
}

/** Random, the same for parameters of the same shape, so that making them takes no longer than one layer. */
async function uploadWeights(
  ort: OrtModule,
  { memory, frozen }: Device,
  config: InternVLConfig,
  trains: (name: string) => boolean,
) {
  const random = createRandom(1);
  const made = new Map<string, Float32Array>();
  const trained: { name: string; shape: readonly number[]; data: Feed }[] = [];
  const fixed = new Map<string, Feed>();
  const teacher = new Map<string, Feed>();
  for (const { name, shape, part, role } of parameterInventory(config)) {
    if (part === 'vision') continue;
    const key = `${role} ${shape.join()}`;
    const spread = 2 / Math.sqrt(shape.at(-1)!);
    const make = () =>
      Float32Array.from({ length: elementCount(shape) }, () =>
        role === 'norm' ? 1 : (random.next() - 0.5) * spread,
      );
    const data = made.get(key) ?? make();
    made.set(key, data);
    const feed = new ort.Tensor('float32', data, shape);
    const named = (storage: FloatStorage) => memory.upload(new Map([[name, feed]]), storage);
    const own = (await named('float32')).get(name)!;
    if (trains(name)) trained.push({ name, shape, data: own });
    else fixed.set(name, own);
    teacher.set(name, (await named(frozen)).get(name)!);
  }
  return { trained, fixed, teacher, own: [...fixed.values(), ...teacher.values()] };
}

/** GFLOP/s of products of square matrices, as large as a device needs to show what it can. */
async function squareRate(ort: OrtModule, { memory, provider }: Device, threads: number): Promise<number> {
  let best = 0;
  for (let width = 256; width <= WIDEST; width *= 2) {
    const work: LinearWork[] = [{ rows: width, inputs: width, out: width, count: 4, products: ['y'] }];
    const gemm = await GemmRun.create(ort, work, { threads, executionProvider: provider, memory });
    await gemm.run();
    const start = performance.now();
    await gemm.run();
    const milliseconds = performance.now() - start;
    await gemm.release();
    best = Math.max(best, workOperations(work) / milliseconds / 1e6);
    if (milliseconds > SQUARE_MILLISECONDS) break;
  }
  return best;
}

/** The linears of a step. The head is frozen, and the teacher runs forward only. */
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
    const rows = part === 'language' ? batch * length : batch * config.tokensPerTile;
    if (part === 'language' || part === 'projector') {
      add(rows, shape, all);
      add(rows, shape, ['y']);
    }
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
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}
