import type { InternVLConfig } from '@speedq/model';
import { TeacherForward } from '@speedq/onnx';
import type { ParameterValues } from '@speedq/onnx';
import { ort, partitionFor } from './context.ts';
import type { StageContext } from './context.ts';
import type { FrozenParameters } from './device.ts';
import { languageInputs, paddedLength, sampleRows } from './data/micro-batch.ts';
import type { RowOptions } from './data/micro-batch.ts';
import { openVisionFeatures } from './features.ts';
import type { VisionFeatures } from './features.ts';
import { LimitedMap } from './limited-map.ts';

/** Rows of the teacher are kept in memory up to this many bytes. */
const MEMORY_BYTES = 2 ** 29;
const SESSIONS = 8;

export interface TeacherAnswer {
  /** The last layer's output at the conversation's supervised rows, [rows, hidden]. */
  readonly rows: Float32Array;
  /** Probability of the most likely token at each. */
  readonly topProbability: Float32Array;
}

/**
 * The teacher of stage 3 on one conversation at a time, so that what it says does not depend on the batch, and
 * needs to be computed once however many epochs there are. Its supervised rows are the student's, in the same order.
 */
export class Teacher {
  private readonly kept = new Map<number, TeacherAnswer>();
  private keptBytes = 0;
  private readonly sessions = new LimitedMap<TeacherForward>(SESSIONS);
  private frozen?: Promise<FrozenParameters>;

  private constructor(
    private readonly context: StageContext,
    private readonly features: VisionFeatures,
    private readonly options: RowOptions,
  ) {}

  static async open(context: StageContext, options: RowOptions): Promise<Teacher> {
    const { config, pictures, parameters } = context.teacher;
    const encoder = { ...context, config, pictures };
    return new Teacher(context, await openVisionFeatures(encoder, parameters, 'features-teacher'), options);
  }

  get config(): InternVLConfig {
    return this.context.teacher.config;
  }

  /** Its parameters behind the encoder, as the device has them. */
  async parameters(): Promise<ParameterValues> {
    const { teacher, device } = this.context;
    const parts = ['projector', 'embedding', 'language', 'head'] as const;
    this.frozen ??= device.openFrozen(teacher.config, teacher.parameters, { parts, storage: device.frozen });
    return (await this.frozen).values;
  }

  async answer(index: number): Promise<TeacherAnswer> {
    const known = this.kept.get(index);
    if (known !== undefined) return known;
    const sample = this.context.teacher.samples[index];
    const { selected } = sampleRows(sample, this.options);
    const answer = await this.run(index, paddedLength(sample.ids.length), selected);
    const bytes = answer.rows.byteLength + answer.topProbability.byteLength;
    if (this.keptBytes + bytes <= MEMORY_BYTES) {
      this.kept.set(index, answer);
      this.keptBytes += bytes;
    }
    return answer;
  }

  /**
   * Top-1 probabilities at every position of the conversation, as the reference takes them: with the padding that the
   * student's has at `studentLength`.
   */
  async everywhere(index: number, studentLength: number): Promise<Float32Array> {
    const { samples, teacher } = this.context;
    const length = studentLength + teacher.samples[index].ids.length - samples[index].ids.length;
    const all = BigInt64Array.from({ length }, (_, row) => BigInt(row));
    return (await this.run(index, length, all)).topProbability;
  }

  async release(): Promise<void> {
    await this.sessions.releaseAll();
    (await this.frozen)?.release();
    await this.features.release();
  }

  private async run(index: number, length: number, selected: BigInt64Array): Promise<TeacherAnswer> {
    const { threads, device } = this.context;
    const { config, samples, pictures } = this.context.teacher;
    const sample = samples[index];
    const { tiles } = sample;
    const { provider: executionProvider, memory, frozen: storage } = device;
    const options = {
      ...{ batch: 1, length, tiles, threads, executionProvider, memory, storage },
      partition: partitionFor(config),
    };
    const session = await this.sessions.get(`${length} ${tiles}`, () =>
      TeacherForward.create(ort, config, options),
    );
    const visionFeatures = tiles > 0 ? new Float32Array(tiles * this.features.tileSize) : undefined;
    let offset = 0;
    for (const picture of sample.pictures) {
      const size = pictures.pictures[picture].tiles * this.features.tileSize;
      await this.features.read(picture, visionFeatures!.subarray(offset, offset + size), []);
      offset += size;
    }
    const inputs = { ...languageInputs(config, [[sample]], { length, tiles }), visionFeatures };
    return session.run(await this.parameters(), inputs, selected, { logits: false });
  }
}
