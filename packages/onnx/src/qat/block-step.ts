import type { InternVLConfig } from '@speedq/model';
import type { Parameters } from '../parameters.ts';
import { Session } from '../session.ts';
import type { OrtModule } from '../session.ts';
import { BlockTrunk } from './block-trunk.ts';
import { addRows, chunkRows, padded, takeRows } from './chunks.ts';
import { gradientViews } from './gradients.ts';
import { feedParameters, parameterShapes } from './graph-parameters.ts';
import type { ParameterShapes } from './graph-parameters.ts';
import { languageFeeds } from './language-inputs.ts';
import { lossFeeds, scalar } from './loss-feeds.ts';
import { lossStretch } from './loss-graph.ts';
import type { QatInputs, QatResult, QatStep, QatStepOptions } from './options.ts';
import { gradientName } from './trunk-graphs.ts';

/** The step in blocks: memory grows with one layer and with one chunk of logits. */
export class BlockStep implements QatStep {
  readonly trained: readonly string[];
  private readonly gradients: Map<string, Float32Array>;
  private readonly dx: Float32Array;

  private constructor(
    private readonly ort: OrtModule,
    private readonly config: InternVLConfig,
    private readonly options: QatStepOptions,
    private readonly shapes: ParameterShapes,
    private readonly trunk: BlockTrunk,
    private readonly loss: { session: Session; trained: readonly string[]; rows: number },
  ) {
    this.trained = [...trunk.trained, ...loss.trained];
    this.gradients = gradientViews(this.trained, shapes);
    this.dx = new Float32Array(options.batch * options.length * config.language.hiddenSize);
  }

  static async create(ort: OrtModule, config: InternVLConfig, options: QatStepOptions): Promise<BlockStep> {
    const shapes = parameterShapes(config, options);
    const rows = chunkRows(options.answers, config.language.vocabSize, options.rowsPerChunk);
    const { model, trained } = lossStretch(config, shapes, options, options.trains, rows);
    const trunk = await BlockTrunk.create(ort, config, options, options.trains);
    const session = await Session.create(ort, model, options);
    return new BlockStep(ort, config, options, shapes, trunk, { session, trained, rows });
  }

  async run(parameters: Parameters, inputs: QatInputs): Promise<QatResult> {
    const { config, options, trunk, dx } = this;
    const { ceWeight, kdWeight } = options.loss;
    const x = await trunk.forward(parameters, languageFeeds(this.ort, config, options, inputs));
    dx.fill(0);
    const { ce, kd } = await this.runLoss(parameters, inputs, x);
    await trunk.backward(parameters, dx, this.gradients);
    return { losses: { ce, kd, total: ceWeight * ce + kdWeight * kd }, gradients: this.gradients };
  }

  /** Chunk by chunk; leaves the gradient of the trunk's output in `dx`. */
  private async runLoss(parameters: Parameters, inputs: QatInputs, x: Float32Array) {
    const { config, options, shapes, gradients } = this;
    const { session, trained, rows } = this.loss;
    const { hiddenSize } = config.language;
    for (const name of trained) gradients.get(name)!.fill(0);
    let ce = 0;
    let kd = 0;
    for (let start = 0; start < options.answers; start += rows) {
      const feeds = lossFeeds(session, config, shapes, options.loss, inputs, options.answers, start, rows);
      const selected = padded(inputs.selected, start, rows);
      feeds.set('rows', session.float(takeRows(x, hiddenSize, selected), [rows, hiddenSize]));
      feedParameters(feeds, session, shapes, parameters);
      const results = await session.run(feeds);
      ce += scalar(results, 'ce');
      if (options.loss.kdWeight !== 0) kd += scalar(results, 'kd');
      addRows(this.dx, hiddenSize, selected, results.get('drows')!.data as Float32Array);
      for (const name of trained) {
        const sum = gradients.get(name)!;
        const part = results.get(gradientName(name))!.data as Float32Array;
        for (let i = 0; i < sum.length; i++) sum[i] += part[i];
      }
    }
    return { ce, kd };
  }

  async release(): Promise<void> {
    await this.trunk.release();
    await this.loss.session.release();
  }
}
