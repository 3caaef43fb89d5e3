import { languageModel, projector } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { differentiate } from '../autodiff.ts';
import { Graph } from '../graph.ts';
import { OnnxOps } from '../onnx-ops.ts';
import { Session } from '../session.ts';
import type { Feed, OrtModule } from '../session.ts';
import { freeGradients, freeUploads, gradientTensors, sumOfLosses } from './resident.ts';
import { feedParameters, GraphParameters, parameterShapes } from './graph-parameters.ts';
import type { ParameterValues } from '../parameters.ts';
import type { ParameterShapes } from './graph-parameters.ts';
import { languageContext, languageFeeds, visionContext, visionFeaturesInput } from './language-inputs.ts';
import { feedTeacher, lossFeeds, scalar, teacherRowsFeed } from './loss-feeds.ts';
import { emitLosses } from './loss-graph.ts';
import type { QatInputs, QatLosses, QatStepOptions, ResidentOptions, ResidentStep } from './options.ts';
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
  const total = emitLosses(g, options.loss, languageModel(ops, config, ids, features), answers);
  const trained = parameters.names.filter(options.trains);
  const gradients = differentiate(g, [[total, g.scalar(1)]], trained.map(parameters.parameter));
  trained.forEach((name, i) => g.output(gradientName(name), gradients[i]!));
  return { model: g.build(), trained };
}

export class WholeStep implements ResidentStep {
  private constructor(
    private readonly config: InternVLConfig,
    private readonly options: ResidentOptions,
    private readonly ort: OrtModule,
    private readonly shapes: ParameterShapes,
    private readonly session: Session,
    readonly gradients: ReadonlyMap<string, Feed>,
  ) {}

  static async create(ort: OrtModule, config: InternVLConfig, options: ResidentOptions): Promise<WholeStep> {
    const shapes = parameterShapes(config, options);
    const { model, trained } = buildWholeStep(config, shapes, options);
    const session = await Session.create(ort, model, options);
    return new WholeStep(
      config,
      options,
      ort,
      shapes,
      session,
      await gradientTensors(trained, shapes, options),
    );
  }

  async run(parameters: ParameterValues, inputs: QatInputs): Promise<QatLosses> {
    const { config, options, shapes, session, gradients } = this;
    const { memory, loss, answers } = options;
    const uploaded = await memory.upload(
      new Map([
        ...languageFeeds(this.ort, config, options, inputs),
        ...lossFeeds(session, config, loss, inputs, answers),
        ...teacherRowsFeed(session, loss, inputs, answers),
      ]),
    );
    const feeds = new Map(uploaded);
    feedParameters(feeds, session, shapes, parameters);
    feedTeacher(feeds, session, loss, inputs);
    const outputs = new Map<string, Feed | undefined>([['ce', undefined]]);
    if (loss.kdWeight !== 0) outputs.set('kd', undefined);
    for (const [name, tensor] of gradients) outputs.set(gradientName(name), tensor);
    const results = await session.run(feeds, outputs);
    freeUploads(memory, uploaded, inputs);
    return sumOfLosses(loss, scalar(results, 'ce'), loss.kdWeight === 0 ? 0 : scalar(results, 'kd'));
  }

  async release(): Promise<void> {
    await this.session.release();
    freeGradients(this.options, this.gradients);
  }
}
