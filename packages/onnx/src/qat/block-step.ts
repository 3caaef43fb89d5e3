import type { InternVLConfig } from '@speedq/model';
import { Session } from '../session.ts';
import type { Feed, OrtModule } from '../session.ts';
import { BlockTrunk } from './block-trunk.ts';
import { chunkRows } from './chunks.ts';
import { feedParameters, parameterShapes } from './graph-parameters.ts';
import type { ParameterValues } from '../parameters.ts';
import type { ParameterShapes } from './graph-parameters.ts';
import { languageFeeds } from './language-inputs.ts';
import { feedTeacher, lossFeeds, scalar, teacherRowsFeed } from './loss-feeds.ts';
import { BEFORE, lossStretch } from './loss-graph.ts';
import type { QatInputs, QatLosses, ResidentOptions, ResidentStep } from './options.ts';
import { freeGradients, freeUploads, gradientTensors, sumOfLosses } from './resident.ts';
import { gradientName } from './trunk-graphs.ts';

/** The loss on one chunk of supervised rows after the other. */
interface LossSession {
  readonly session: Session;
  /** Of a chunk, and of all. */
  readonly rows: number;
  readonly chunks: number;
  /** What sums over chunks go to in turn, by output: the last of them is where the whole sum is wanted. */
  readonly sums: ReadonlyMap<string, { readonly zero: Feed; readonly turns: readonly Feed[] }>;
}

/** The step in blocks: memory grows with one layer and with one chunk of logits. */
export class BlockStep implements ResidentStep {
  private constructor(
    private readonly ort: OrtModule,
    private readonly config: InternVLConfig,
    private readonly options: ResidentOptions,
    private readonly shapes: ParameterShapes,
    private readonly trunk: BlockTrunk,
    private readonly loss: LossSession,
    readonly gradients: ReadonlyMap<string, Feed>,
    /** Of the trunk's output. */
    private readonly dx: Feed,
    /** Tensors of this step's own. */
    private readonly own: readonly Feed[],
  ) {}

  static async create(ort: OrtModule, config: InternVLConfig, options: ResidentOptions): Promise<BlockStep> {
    const { memory, answers, rowsPerChunk, batch, length } = options;
    const shapes = parameterShapes(config, options);
    const rows = chunkRows(answers, config.language.vocabSize, rowsPerChunk);
    const chunks = Math.ceil(answers / rows);
    const { model, trained } = lossStretch(config, shapes, options, options.trains, rows);
    const trunk = await BlockTrunk.create(ort, config, options, options.trains);
    const session = await Session.create(ort, model, options);
    const gradients = await gradientTensors([...trunk.trained, ...trained], shapes, options);
    const dx = await memory.zeros([batch * length, config.language.hiddenSize]);
    const own: Feed[] = [dx];
    const zeros = async (shape: readonly number[]) => {
      const tensor = await memory.zeros(shape);
      own.push(tensor);
      return tensor;
    };
    const sums = new Map<string, { zero: Feed; turns: Feed[] }>();
    for (const [name, sum] of [
      ...trained.map((parameter) => [gradientName(parameter), gradients.get(parameter)!] as const),
      ['dx', dx] as const,
    ]) {
      const turns = chunks === 1 ? [sum] : [sum, await zeros(sum.dims)];
      sums.set(name, { zero: await zeros(sum.dims.map(() => 1)), turns });
    }
    const loss = { session, rows, chunks, sums };
    return new BlockStep(ort, config, options, shapes, trunk, loss, gradients, dx, own);
  }

  async run(parameters: ParameterValues, inputs: QatInputs): Promise<QatLosses> {
    const { config, options, trunk } = this;
    const { memory } = options;
    const feeds = await memory.upload(languageFeeds(this.ort, config, options, inputs));
    const x = await trunk.forward(parameters, feeds);
    const losses = await this.runLoss(parameters, inputs, x);
    await trunk.backward(parameters, this.dx, this.gradients);
    freeUploads(memory, feeds, inputs);
    return losses;
  }

  /** Chunk by chunk; leaves the gradient of the trunk's output in `dx`. */
  private async runLoss(parameters: ParameterValues, inputs: QatInputs, x: Feed): Promise<QatLosses> {
    const { config, options, shapes } = this;
    const { memory, loss, answers } = options;
    const { session, rows, chunks, sums } = this.loss;
    const shared = await memory.upload(teacherRowsFeed(session, loss, inputs, answers));
    let ce = 0;
    let kd = 0;
    for (let chunk = 0; chunk < chunks; chunk++) {
      const uploaded = await memory.upload(
        lossFeeds(session, config, loss, inputs, answers, chunk * rows, rows),
      );
      const feeds = new Map([...shared, ...uploaded, ['x', x] as const]);
      feedParameters(feeds, session, shapes, parameters);
      feedTeacher(feeds, session, loss, inputs);
      const outputs = new Map<string, Feed | undefined>([['ce', undefined]]);
      if (loss.kdWeight !== 0) outputs.set('kd', undefined);
      for (const [name, { zero, turns }] of sums) {
        const after = (at: number) => turns[(chunks - 1 - at) % 2];
        feeds.set(BEFORE + name, chunk === 0 ? zero : after(chunk - 1));
        outputs.set(name, after(chunk));
      }
      const results = await session.run(feeds, outputs);
      freeUploads(memory, uploaded, inputs);
      ce += scalar(results, 'ce');
      if (loss.kdWeight !== 0) kd += scalar(results, 'kd');
    }
    freeUploads(memory, shared, inputs);
    return sumOfLosses(loss, ce, kd);
  }

  async release(): Promise<void> {
    const { options, own, gradients } = this;
    await this.trunk.release();
    await this.loss.session.release();
    for (const tensor of own) options.memory.free(tensor);
    freeGradients(options, gradients);
  }
}
