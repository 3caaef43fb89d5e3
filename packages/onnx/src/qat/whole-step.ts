import { languageModel, projector } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { differentiate } from '../autodiff.ts';
import { Graph } from '../graph.ts';
import type { Parameters } from '../parameters.ts';
import { OnnxOps } from '../onnx-ops.ts';
import { Session } from '../session.ts';
import type { Feed, OrtModule } from '../session.ts';
import { gradientViews } from './gradients.ts';
import { feedParameters, GraphParameters, parameterShapes } from './graph-parameters.ts';
import type { ParameterShapes } from './graph-parameters.ts';
import { languageContext, languageFeeds, visionContext, visionFeaturesInput } from './language-inputs.ts';
import { lossFeeds, scalar } from './loss-feeds.ts';
import { emitLosses } from './loss-graph.ts';
import type { QatInputs, QatResult, QatStep, QatStepOptions } from './options.ts';
import { gradientName } from './trunk-graphs.ts';

/** Forward, loss and backward as one graph, and the names of the parameters it differentiates. */
function buildWholeStep(
  config: InternVLConfig,
  shapes: ParameterShapes,
  options: QatStepOptions,
): { model: Uint8Array; trained: readonly string[] } {
  const { batch, length, tiles, answers } = options;
  const g = new Graph();
  const parameters = new GraphParameters(g, shapes, options);
  const ops = new OnnxOps(g, {
    parameter: parameters.parameter,
    linearWeight: parameters.linearWeight,
    vision: visionContext(config, options),
    language: { ...languageContext(g, config, options), selected: g.input('selected', [answers], 'int32') },
  });
  const ids = g.input('input_ids', [batch * length], 'int32');
  const features = tiles > 0 ? projector(ops, config, visionFeaturesInput(g, config, options)) : undefined;
  const total = emitLosses(g, config, shapes, options.loss, languageModel(ops, config, ids, features));
  const trained = parameters.names.filter(options.trains);
  const gradients = differentiate(g, [[total, g.scalar(1)]], trained.map(parameters.parameter));
  trained.forEach((name, i) => g.output(gradientName(name), gradients[i]!));
  return { model: g.build(), trained };
}

export class WholeStep implements QatStep {
  private readonly gradients: Map<string, Float32Array>;
  private readonly outputs: Map<string, Feed | undefined>;

  private constructor(
    private readonly ort: OrtModule,
    private readonly config: InternVLConfig,
    private readonly options: QatStepOptions,
    private readonly shapes: ParameterShapes,
    private readonly session: Session,
    readonly trained: readonly string[],
  ) {
    this.gradients = gradientViews(trained, shapes);
    this.outputs = new Map<string, Feed | undefined>([['ce', undefined]]);
    if (options.loss.kdWeight !== 0) this.outputs.set('kd', undefined);
    for (const [name, view] of this.gradients) {
      this.outputs.set(gradientName(name), session.float(view, shapes.get(name)!));
    }
  }

  static async create(ort: OrtModule, config: InternVLConfig, options: QatStepOptions): Promise<WholeStep> {
    const shapes = parameterShapes(config, options);
    const { model, trained } = buildWholeStep(config, shapes, options);
    return new WholeStep(ort, config, options, shapes, await Session.create(ort, model, options), trained);
  }

  async run(parameters: Parameters, inputs: QatInputs): Promise<QatResult> {
    const { config, options, shapes, session } = this;
    const { ceWeight, kdWeight } = options.loss;
    const feeds = languageFeeds(this.ort, config, options, inputs);
    for (const [name, feed] of lossFeeds(session, config, shapes, options.loss, inputs, options.answers)) {
      feeds.set(name, feed);
    }
    feeds.set('selected', session.indices(inputs.selected, [options.answers]));
    feedParameters(feeds, session, shapes, parameters);
    const results = await session.run(feeds, this.outputs);
    const ce = scalar(results, 'ce');
    const kd = kdWeight === 0 ? 0 : scalar(results, 'kd');
    return { losses: { ce, kd, total: ceWeight * ce + kdWeight * kd }, gradients: this.gradients };
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}
