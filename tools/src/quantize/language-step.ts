import { createResidentStep } from '@speedq/onnx';
import type {
  AnswerRows,
  Feed,
  ParameterValues,
  QatInputs,
  QatLoss,
  QatLosses,
  QatStepOptions,
  ResidentStep,
} from '@speedq/onnx';
import { ort, partitionFor } from './context.ts';
import type { StageContext } from './context.ts';
import type { Batch } from './data/batches.ts';
import { languageInputs, sampleRows, supervisedRows } from './data/micro-batch.ts';
import type { MicroBatch } from './data/micro-batch.ts';
import type { FrozenParameters } from './device.ts';
import type { VisionFeatures } from './features.ts';
import { LimitedMap } from './limited-map.ts';
import type { Teacher } from './teacher.ts';

/** Steps that stay compiled; beyond, one is compiled again when its lengths come round. */
const SESSIONS = 8;

export interface LanguageStepOptions extends Pick<
  QatStepOptions,
  'scheme' | 'learned' | 'reference' | 'trains'
> {
  readonly loss: Omit<QatLoss, 'teacher'>;
  readonly features: VisionFeatures;
  readonly distillation?: {
    readonly teacher: Teacher;
    /** 'per-token': the teacher's top-1 probability at each row. */
    readonly gamma: number | 'per-token';
    /** The reference's rows: at answer tokens, and a sum over each sequence instead of a mean over tokens. */
    readonly unshifted: boolean;
    readonly summed: boolean;
  };
}

/** Loss and gradients of the language side on batches of any bucket. */
export class LanguageStep {
  private readonly sessions = new LimitedMap<ResidentStep>(SESSIONS);
  /** What is trained nowhere: it is not given with each run. */
  private frozen?: Promise<FrozenParameters>;
  /** Of a run: all steps write into the same tensors. */
  private readonly gradients = new Map<string, Feed>();
  /** Gradients summed over micro-batches. */
  private readonly sums = new Map<string, Feed>();

  constructor(
    private readonly context: StageContext,
    private readonly options: LanguageStepOptions,
  ) {}

  /**
   * Losses and gradients of a batch: means over its tokens, whatever the micro-batches they come from. Gradients are
   * in the device's memory until the next run.
   */
  async run({ samples, microBatches }: Batch, step: number, trained: ParameterValues): Promise<BatchResult> {
    const { memory } = this.context.device;
    const shares = this.sharesOf(samples);
    if (microBatches.length === 1) return this.runPart(microBatches[0], shares, [step, 0], trained);
    this.freeSums();
    let [ce, kd, total, first] = [0, 0, 0, 0];
    for (const microBatch of microBatches) {
      const part = await this.runPart(microBatch, shares, [step, first], trained);
      first += microBatch.sequences.flat().length;
      ce += part.losses.ce;
      kd += part.losses.kd;
      total += part.losses.total;
      for (const [name, gradient] of part.gradients) {
        this.sums.set(name, await memory.accumulate(this.sums.get(name), gradient));
      }
    }
    return { losses: { ce, kd, total }, gradients: this.sums };
  }

  private freeSums(): void {
    for (const tensor of this.sums.values()) this.context.device.memory.free(tensor);
    this.sums.clear();
  }

  /** What a supervised row of the batch weighs in either loss. */
  private sharesOf(indexes: readonly number[]): RowShares {
    const { distillation } = this.options;
    let [predicted, distilled] = [0, 0];
    for (const index of indexes) {
      const rows = sampleRows(this.context.samples[index], { unshifted: distillation?.unshifted });
      predicted += countPositive(rows.weights);
      distilled += countPositive(rows.kdWeights);
    }
    return {
      predicted: 1 / Math.max(1, predicted),
      distilled: 1 / (distillation?.summed ? indexes.length : Math.max(1, distilled)),
    };
  }

  private async runPart(
    { sequences, length, tiles, answers }: MicroBatch,
    shares: RowShares,
    [step, first]: readonly [number, number],
    trained: ParameterValues,
  ): Promise<BatchResult> {
    const { config, samples } = this.context;
    const { distillation } = this.options;
    const indexes = sequences.flat();
    const session = await this.session({ sequences, length, tiles, answers });
    const chosen = sequences.map((conversations) => conversations.map((index) => samples[index]));
    const { values } = await this.frozenParameters();
    const parameters = { get: (name: string) => trained.get(name) ?? values.get(name) };
    const losses = await session.run(parameters, {
      ...languageInputs(config, chosen, { length, tiles }),
      visionFeatures: tiles > 0 ? await this.visionFeatures(indexes, tiles, [step, first]) : undefined,
      ...weighted(
        supervisedRows(chosen, { length, answers }, { unshifted: distillation?.unshifted }),
        shares,
      ),
      ...(distillation && {
        ...(await this.teacherRows(indexes, answers, distillation.gamma)),
        teacherParameters: await distillation.teacher.parameters(),
      }),
    });
    return { losses, gradients: session.gradients };
  }

  private session({ sequences, length, tiles, answers }: MicroBatch): Promise<ResidentStep> {
    const { config, threads, device } = this.context;
    const { provider: executionProvider, memory, frozen: storage } = device;
    const { distillation, scheme, learned, reference, trains, loss } = this.options;
    const shape = { batch: sequences.length, length, tiles, answers };
    return this.sessions.get(Object.values(shape).join(' '), async () => {
      const session = await createResidentStep(ort, config, {
        ...{ ...shape, scheme, learned, reference, trains, threads, executionProvider, memory },
        loss: { ...loss, teacher: distillation && { config: distillation.teacher.config, storage } },
        partition: partitionFor(config),
        gradients: this.gradients,
      });
      for (const [name, gradient] of session.gradients) this.gradients.set(name, gradient);
      return session;
    });
  }

  async release(): Promise<void> {
    await this.sessions.releaseAll();
    this.freeSums();
    for (const tensor of this.gradients.values()) this.context.device.memory.free(tensor);
    this.gradients.clear();
    (await this.frozen)?.release();
  }

  private frozenParameters(): Promise<FrozenParameters> {
    const { config, student, device } = this.context;
    const names = (name: string) => (this.options.trains(name) ? undefined : student.parameters.get(name));
    const parts = ['projector', 'embedding', 'language', 'head'] as const;
    return (this.frozen ??= device.openFrozen(config, { get: names }, { parts, storage: 'float32' }));
  }

  private async visionFeatures(
    indexes: readonly number[],
    tiles: number,
    [step, first]: readonly [number, number],
  ): Promise<Float32Array> {
    const { samples, pictures } = this.context;
    const { features } = this.options;
    const all = new Float32Array(tiles * features.tileSize);
    let offset = 0;
    for (const [slot, index] of indexes.entries()) {
      for (const [order, picture] of samples[index].pictures.entries()) {
        const size = pictures.pictures[picture].tiles * features.tileSize;
        await features.read(picture, all.subarray(offset, offset + size), [step, first + slot, order]);
        offset += size;
      }
    }
    return all;
  }

  /** Of conversations, one after the other. */
  private async teacherRows(
    indexes: readonly number[],
    answers: number,
    gamma: number | 'per-token',
  ): Promise<Pick<QatInputs, 'teacherRows' | 'gamma'>> {
    const { teacher } = this.options.distillation!;
    const teacherRows = new Float32Array(answers * teacher.config.language.hiddenSize);
    const confidence = new Float32Array(answers);
    let [offset, row] = [0, 0];
    for (const index of indexes) {
      const { rows, topProbability } = await teacher.answer(index);
      teacherRows.set(rows, offset);
      confidence.set(topProbability, row);
      offset += rows.length;
      row += topProbability.length;
    }
    return { teacherRows, gamma: gamma === 'per-token' ? confidence : gamma };
  }
}

interface BatchResult {
  readonly losses: QatLosses;
  readonly gradients: ReadonlyMap<string, Feed>;
}

interface RowShares {
  readonly predicted: number;
  /** Makes the distillation a mean over tokens; or a sum over them and a mean over sequences. */
  readonly distilled: number;
}

function weighted(rows: AnswerRows, { predicted, distilled }: RowShares): AnswerRows {
  const share = (weights: Float32Array, value: number) => weights.map((weight) => (weight > 0 ? value : 0));
  return {
    ...rows,
    weights: share(rows.weights, predicted),
    kdWeights: share(rows.kdWeights, distilled),
  };
}

function countPositive(weights: Float32Array): number {
  return weights.reduce((count, weight) => count + (weight > 0 ? 1 : 0), 0);
}
