import { once } from 'node:events';
import { appendFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { SpeedqError } from '@speedq/format';
import { withModelFolder } from '../model-folder.ts';
import { startWorker } from '../places.ts';
import { loadState, saveState, stateFile } from './checkpoint.ts';
import { initialise } from './initialise.ts';
import { AUXILIARY_PREFIX, parameterLayout } from './parameter-layout.ts';
import { AUXILIARY_HEADS, loadPico } from './pico.ts';
import type { Tally, WorkerReply, WorkerRequest, WorkerSetup } from './protocol.ts';
import { learningRateAt } from './schedule.ts';
import { MICRO_BATCH, PICO_STAGES, type TrainStage } from './stages.ts';

export interface TrainOptions {
  readonly stage: TrainStage;
  /** Folder with the tokenizer. */
  readonly model: string;
  /** Folder for states and logs. */
  readonly runs: string;
  /** Float folder to start from, instead of the stages the recipe names. */
  readonly from?: string;
  readonly seed: number;
  /** Data-parallel workers, and threads inside each. One thread each uses two cores best. */
  readonly workers: number;
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: TrainProgress) => void;
}

export interface TrainProgress {
  readonly step: number;
  readonly steps: number;
  readonly picturesPerSecond: number;
  readonly learningRate: number;
  readonly losses: Record<string, number>;
  /** Share of questions answered exactly since the last report, by type. */
  readonly accuracy: Record<string, number>;
}

const REPORT_EVERY = 50;
const SAVE_EVERY_MS = 180_000;
const CLIP_NORM = 1;

/** Runs one stage to its end, or resumes it; saves its state as it goes. */
export async function trainStage(options: TrainOptions): Promise<void> {
  const { stage, seed, workers: count, runs } = options;
  const { config } = await loadPico(options.model);
  const layout = parameterLayout(config, AUXILIARY_HEADS);
  const file = stateFile(runs, stage.name);
  const shared = () => new SharedArrayBuffer(layout.total * 4);
  const buffers = { parameters: shared(), m: shared(), v: shared() };
  const parameters = new Float32Array(buffers.parameters);
  const m = new Float32Array(buffers.m);
  const v = new Float32Array(buffers.v);
  const resumed = await loadState(file, layout);
  let step = resumed?.step ?? 0;
  if (resumed) {
    parameters.set(resumed.parameters);
    m.set(resumed.m);
    v.set(resumed.v);
  } else {
    parameters.set(initialise(config, layout, seed));
    if (options.from) await adoptFolder(options.from, layout, parameters);
    else for (const name of stage.startsFrom) await adopt(stateFile(runs, name), name, layout, parameters);
  }

  const gradients = Array.from({ length: count }, shared);
  const pool = Array.from({ length: count }, (_, index) => {
    const setup: WorkerSetup = {
      index,
      count,
      threads: options.threads,
      seed,
      stage,
      folder: options.model,
      ...buffers,
      gradients,
    };
    return startWorker('train', setup);
  });
  const ask = (request: WorkerRequest) => Promise.all(pool.map((worker) => exchange(worker, request)));
  const ready = await Promise.all(pool.map((worker) => exchange(worker)));
  const trained = ready[0].type === 'ready' ? ready[0].trained : [];
  const gradientViews = gradients.map((buffer) => new Float32Array(buffer));
  const active = layout.slots.filter(({ name }) => trained.includes(name));

  const steps = Math.ceil(stage.pictures / stage.picturesPerStep);
  await mkdir(runs, { recursive: true });
  let report = new Report();
  let lastSave = Date.now();
  const save = () => saveState(file, { step, parameters, m, v });
  try {
    while (step < steps && !options.signal?.aborted) {
      const microBatches = Math.ceil(stage.picturesPerStep / MICRO_BATCH);
      let next = 0;
      // Each takes the next micro-batch when it is free: they need not be equally fast.
      const contributors = new Set<number>();
      await Promise.all(
        pool.map(async (worker, index) => {
          while (next < microBatches) {
            const first = !contributors.has(index);
            contributors.add(index);
            const firstPicture = step * stage.picturesPerStep + next++ * MICRO_BATCH;
            const reply = await exchange(worker, { type: 'compute', firstPicture, first });
            if (reply.type === 'computed') report.add(reply.losses, reply.tally, MICRO_BATCH);
          }
        }),
      );
      step++;
      const views = gradientViews.filter((_, index) => contributors.has(index));
      const norm = gradientNorm(views, active) / microBatches;
      if (!Number.isFinite(norm)) {
        throw new SpeedqError(
          'internal',
          `Gradients of step ${step} of ${stage.name} are not finite; the last saved state is kept.`,
        );
      }
      const learningRate = learningRateAt(step, steps, stage);
      const scale = Math.min(1, CLIP_NORM / norm) / microBatches;
      await ask({ type: 'update', step, learningRate, scale, contributors: [...contributors] });
      if (step % REPORT_EVERY === 0 || step === steps) {
        const progress = report.finish(step, steps, learningRate);
        await appendFile(join(runs, `${stage.name}.ndjson`), `${JSON.stringify(progress)}\n`);
        options.onProgress?.(progress);
        report = new Report();
      }
      if (Date.now() - lastSave > SAVE_EVERY_MS) {
        await save();
        lastSave = Date.now();
      }
    }
    await save();
  } finally {
    await Promise.all(pool.map((worker) => worker.terminate()));
  }
}

/** What an earlier stage trained: the encoder, the language model, or everything. */
async function adopt(
  file: string,
  stage: string,
  layout: ReturnType<typeof parameterLayout>,
  target: Float32Array,
) {
  const state = await loadState(file, layout);
  if (!state)
    throw new SpeedqError(
      'missing-tensor',
      `The stage starts from ${file}, which does not exist; run ${stage} first.`,
    );
  const kind = PICO_STAGES.find(({ name }) => name === stage)?.kind;
  const wanted = (name: string) =>
    kind === 'vision'
      ? name.startsWith('vision_tower.') || name.startsWith(AUXILIARY_PREFIX)
      : kind === 'oracle'
        ? name.startsWith('language_model.')
        : true;
  for (const { name, offset, size } of layout.slots) {
    if (wanted(name)) target.set(state.parameters.subarray(offset, offset + size), offset);
  }
}

/** Parameters of a float checkpoint; the auxiliary heads keep their fresh values. */
async function adoptFolder(path: string, layout: ReturnType<typeof parameterLayout>, target: Float32Array) {
  await withModelFolder(path, async ({ tensors }) => {
    for (const { name, offset } of layout.slots) {
      if (!name.startsWith(AUXILIARY_PREFIX)) target.set(await tensors.read(name), offset);
    }
  });
}

async function exchange(worker: Worker, request?: WorkerRequest): Promise<WorkerReply> {
  if (request) worker.postMessage(request);
  const [reply] = (await once(worker, 'message')) as [WorkerReply];
  return reply;
}

function gradientNorm(
  all: readonly Float32Array[],
  slots: readonly { offset: number; size: number }[],
): number {
  let sum = 0;
  const [first, second] = all;
  for (const { offset, size } of slots) {
    for (let i = offset; i < offset + size; i++) {
      let value = first[i];
      if (second) value += second[i];
      for (let j = 2; j < all.length; j++) value += all[j][i];
      sum += value * value;
    }
  }
  return Math.sqrt(sum);
}

/** Means over the steps since the last report. */
class Report {
  private readonly started = Date.now();
  private readonly losses = new Map<string, number[]>();
  private readonly tally: Tally = {};
  private pictures = 0;

  add(losses: Record<string, number>, tally: Tally, pictures: number): void {
    this.pictures += pictures;
    for (const [name, value] of Object.entries(losses)) {
      this.losses.set(name, [...(this.losses.get(name) ?? []), value]);
    }
    for (const [type, { asked, right }] of Object.entries(tally)) {
      const entry = (this.tally[type] ??= { asked: 0, right: 0 });
      entry.asked += asked;
      entry.right += right;
    }
  }

  finish(step: number, steps: number, learningRate: number): TrainProgress {
    const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    return {
      step,
      steps,
      picturesPerSecond: round((this.pictures * 1000) / (Date.now() - this.started)),
      learningRate,
      losses: Object.fromEntries([...this.losses].map(([name, values]) => [name, round(mean(values), 4)])),
      accuracy: Object.fromEntries(
        Object.entries(this.tally).map(([type, { asked, right }]) => [type, round(right / asked, 3)]),
      ),
    };
  }
}

const round = (value: number, digits = 1) => Number(value.toFixed(digits));
