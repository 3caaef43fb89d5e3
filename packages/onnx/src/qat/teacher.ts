import type { InternVLConfig } from '@speedq/model';
import { Graph } from '../graph.ts';
import { hostMemory } from '../memory.ts';
import type { Memory } from '../memory.ts';
import * as op from '../primitives.ts';
import { Session } from '../session.ts';
import type { Feed, OrtModule } from '../session.ts';
import { BlockTrunk } from './block-trunk.ts';
import { chunkRows } from './chunks.ts';
import { feedParameters, parameterShapes } from './graph-parameters.ts';
import type { ParameterValues } from '../parameters.ts';
import type { ParameterShapes } from './graph-parameters.ts';
import { languageFeeds } from './language-inputs.ts';
import { headGraph } from './loss-graph.ts';
import type { LanguageInputs, TrunkOptions } from './options.ts';
import { freeUploads } from './resident.ts';
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
    private readonly memory: Memory,
    private readonly trunk: BlockTrunk | WholeTrunk,
    private readonly taker: Session,
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
    const taker = await Session.create(ort, rowsGraph(config, options), options);
    const memory = options.memory ?? hostMemory(ort);
    return new TeacherForward(ort, config, options, shapes, memory, trunk, taker, head);
  }

  /** The last layer's output at the selected rows, before the final norm, written into `rows` [selected, hidden]. */
  async forward(
    parameters: ParameterValues,
    inputs: LanguageInputs,
    selected: BigInt64Array,
    rows: Feed,
  ): Promise<void> {
    const { config, options, memory, taker } = this;
    const feeds = await memory.upload(languageFeeds(this.ort, config, options, inputs));
    const x = await this.trunk.forward(parameters, feeds);
    const indices = await memory.upload(new Map([['selected', taker.indices(selected, [selected.length])]]));
    await taker.run(new Map([...indices, ['x', x] as const]), new Map([['rows', rows]]));
    freeUploads(memory, feeds, {});
    freeUploads(memory, indices, {});
  }

  /** `selected`: rows of [batch · length], as many as wanted; with `logits: false` only rows and top come back. */
  async run(
    parameters: ParameterValues,
    inputs: LanguageInputs,
    selected: BigInt64Array,
    { logits = true }: { readonly logits?: boolean } = {},
  ): Promise<TeacherResult> {
    const { config, options, shapes, head } = this;
    const { hiddenSize, vocabSize } = config.language;
    const count = selected.length;
    const rows = new Float32Array(count * hiddenSize);
    await this.forward(parameters, inputs, selected, head.float(rows, [count, hiddenSize]));
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
    await this.taker.release();
    await this.head.release();
  }
}

/** Rows of `x` [batch · length, hidden], as many as are `selected`. */
function rowsGraph({ language }: InternVLConfig, { batch, length }: TrunkOptions): Uint8Array {
  const g = new Graph();
  const x = g.input('x', [batch * length, language.hiddenSize]);
  g.output('rows', op.gatherRows(g, x, g.input('selected', ['selected'], 'int32')));
  return g.build();
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
