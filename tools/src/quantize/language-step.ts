import { answerRows, createQatStep } from '@speedq/onnx';
import type { QatInputs, QatLoss, QatResult, QatStep, QatStepOptions } from '@speedq/onnx';
import { ort, partitionFor } from './context.ts';
import type { StageContext } from './context.ts';
import { batchLabels, languageInputs } from './data/batches.ts';
import type { Batch } from './data/batches.ts';
import type { VisionFeatures } from './features.ts';
import { LimitedMap } from './limited-map.ts';
import type { Teacher } from './teacher.ts';

/** Steps that stay compiled; beyond, one is compiled again when its lengths come round. */
const SESSIONS = 8;

export interface LanguageStepOptions extends Pick<
  QatStepOptions,
  'scheme' | 'learned' | 'reference' | 'trains'
> {
  readonly loss: QatLoss;
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
  private readonly sessions = new LimitedMap<QatStep>(SESSIONS);

  constructor(
    private readonly context: StageContext,
    private readonly options: LanguageStepOptions,
  ) {}

  async run({ bucket, samples: indexes }: Batch, step: number): Promise<QatResult> {
    const { config, samples, student, teacher, threads } = this.context;
    const { distillation, scheme, learned, reference, trains, loss } = this.options;
    const { length, answers } = bucket;
    const batch = indexes.length;
    const shape = { batch, length, tiles: batch * bucket.tiles };
    const session = await this.sessions.get(`${length} ${bucket.tiles} ${answers}`, () =>
      createQatStep(ort, config, {
        ...shape,
        ...{ answers, scheme, learned, reference, trains, loss, threads },
        partition: partitionFor(config),
      }),
    );
    const chosen = indexes.map((index) => samples[index]);
    const rows = answerRows(batchLabels(chosen, length), {
      ...{ batch, length, answers },
      reference: distillation?.unshifted,
    });
    return session.run(student.parameters, {
      ...languageInputs(config, chosen, { length, tiles: bucket.tiles }),
      visionFeatures: bucket.tiles > 0 ? await this.visionFeatures(indexes, bucket.tiles, step) : undefined,
      ...rows,
      ...(distillation && {
        kdWeights: distillation.summed ? summed(rows.kdWeights, batch) : averaged(rows.kdWeights),
        ...(await this.teacherRows(indexes, answers, distillation.gamma)),
        teacherParameters: teacher,
      }),
    });
  }

  async release(): Promise<void> {
    await this.sessions.releaseAll();
  }

  private async visionFeatures(
    indexes: readonly number[],
    tiles: number,
    step: number,
  ): Promise<Float32Array> {
    const { samples, pictures } = this.context;
    const { features } = this.options;
    const all = new Float32Array(indexes.length * tiles * features.tileSize);
    for (const [slot, index] of indexes.entries()) {
      let offset = slot * tiles * features.tileSize;
      for (const [order, picture] of samples[index].pictures.entries()) {
        const size = pictures.pictures[picture].tiles * features.tileSize;
        await features.read(picture, all.subarray(offset, offset + size), [step, slot, order]);
        offset += size;
      }
    }
    return all;
  }

  /** The batch's rows are its conversations' rows one after the other. */
  private async teacherRows(
    indexes: readonly number[],
    answers: number,
    gamma: number | 'per-token',
  ): Promise<Pick<QatInputs, 'teacherRows' | 'gamma'>> {
    const { teacher } = this.options.distillation!;
    const teacherRows = new Float32Array(answers * this.context.config.language.hiddenSize);
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

/** Weights that make the distillation a mean over tokens. */
function averaged(weights: Float32Array): Float32Array {
  const count = weights.reduce((sum, weight) => sum + (weight > 0 ? 1 : 0), 0);
  return weights.map((weight) => (weight > 0 ? 1 / count : 0));
}

/** Weights that make it a sum over tokens and a mean over sequences. */
function summed(weights: Float32Array, batch: number): Float32Array {
  return weights.map((weight) => (weight > 0 ? 1 / batch : 0));
}
