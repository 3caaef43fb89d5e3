import type { InternVLConfig } from '@speedq/model';
import type { Parameters } from '../parameters.ts';
import { Session } from '../session.ts';
import type { OrtModule } from '../session.ts';
import { BlockTrunk } from './block-trunk.ts';
import { chunkRows, takeRows } from './chunks.ts';
import { feedParameters, parameterShapes } from './graph-parameters.ts';
import type { ParameterShapes } from './graph-parameters.ts';
import { languageFeeds } from './language-inputs.ts';
import { headGraph } from './loss-graph.ts';
import type { LanguageInputs, TrunkOptions } from './options.ts';
import { WholeTrunk } from './whole-trunk.ts';

export interface TeacherOptions extends TrunkOptions {
  readonly rowsPerChunk?: number;
}

export interface TeacherResult {
  /** The last layer's output at the selected rows, before the final norm: [selected, hidden]. */
  readonly rows: Float32Array;
  /** Probability of the most likely token at each selected row; its mean over answers is γ. */
  readonly topProbability: Float32Array;
  /** [selected, vocabulary], if asked for. */
  readonly logits?: Float32Array;
}

/** Forward pass of the language side at any rows of a micro-batch: the teacher, or any model without a scheme. */
export class TeacherForward {
  private constructor(
    private readonly ort: OrtModule,
    private readonly config: InternVLConfig,
    private readonly options: TeacherOptions,
    private readonly shapes: ParameterShapes,
    private readonly trunk: BlockTrunk | WholeTrunk,
    private readonly head: Session,
  ) {}

  static async create(
    ort: OrtModule,
    config: InternVLConfig,
    options: TeacherOptions,
  ): Promise<TeacherForward> {
    const shapes = parameterShapes(config);
    const trunk =
      options.partition === 'whole'
        ? await WholeTrunk.create(ort, config, options)
        : await BlockTrunk.create(ort, config, options, () => false);
    const head = await Session.create(ort, headGraph(config, shapes, options), options);
    return new TeacherForward(ort, config, options, shapes, trunk, head);
  }

  /** `selected`: rows of [batch · length], as many as wanted; with `logits: false` only rows and top come back. */
  async run(
    parameters: Parameters,
    inputs: LanguageInputs,
    selected: BigInt64Array,
    { logits = true }: { readonly logits?: boolean } = {},
  ): Promise<TeacherResult> {
    const { config, options, shapes, head } = this;
    const { hiddenSize, vocabSize } = config.language;
    const count = selected.length;
    const x = await this.trunk.forward(parameters, languageFeeds(this.ort, config, options, inputs));
    const rows = takeRows(x, hiddenSize, selected);
    const topProbability = new Float32Array(count);
    const all = logits ? new Float32Array(count * vocabSize) : undefined;
    const step = count === 0 ? 1 : chunkRows(count, vocabSize, options.rowsPerChunk);
    for (let start = 0; start < count; start += step) {
      const n = Math.min(step, count - start);
      const part = rows.subarray(start * hiddenSize, (start + n) * hiddenSize);
      const feeds = new Map([['rows', head.float(part, [n, hiddenSize])]]);
      feedParameters(feeds, head, shapes, parameters);
      const outputs = new Map([['top', head.float(topProbability.subarray(start, start + n), [n, 1])]]);
      if (all) {
        const view = all.subarray(start * vocabSize, (start + n) * vocabSize);
        outputs.set('logits', head.float(view, [n, vocabSize]));
      }
      await head.run(feeds, outputs);
    }
    return { rows, topProbability, logits: all };
  }

  async release(): Promise<void> {
    await this.trunk.release();
    await this.head.release();
  }
}

/**
 * γ of CAKLD from the teacher's top-1 probabilities: their mean weighted by `weights` (answer rows), or plain.
 */
export function meanTopProbability(topProbability: ArrayLike<number>, weights?: ArrayLike<number>): number {
  let sum = 0;
  let total = 0;
  for (let i = 0; i < topProbability.length; i++) {
    const weight = weights ? weights[i] : 1;
    sum += weight * topProbability[i];
    total += weight;
  }
  return total === 0 ? 0 : sum / total;
}
