import { languageBlock, languageEmbed, projector } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { Graph } from '../graph.ts';
import type { Parameters } from '../parameters.ts';
import { OnnxOps } from '../onnx-ops.ts';
import { Session } from '../session.ts';
import type { Feed, OrtModule } from '../session.ts';
import { feedParameters, GraphParameters, parameterShapes } from './graph-parameters.ts';
import type { ParameterShapes } from './graph-parameters.ts';
import { languageContext, visionContext, visionFeaturesInput } from './language-inputs.ts';
import type { TrunkOptions } from './options.ts';

/** Projector, embedding and all decoder layers as one forward graph. */
export class WholeTrunk {
  private constructor(
    private readonly session: Session,
    private readonly shapes: ParameterShapes,
    private readonly output: Float32Array,
    private readonly dims: readonly number[],
  ) {}

  static async create(ort: OrtModule, config: InternVLConfig, options: TrunkOptions): Promise<WholeTrunk> {
    const shapes = parameterShapes(config, options);
    const g = new Graph();
    const { parameter, linearWeight } = new GraphParameters(g, shapes, options);
    const ops = new OnnxOps(g, {
      parameter,
      linearWeight,
      vision: visionContext(config, options),
      language: languageContext(g, config, options),
    });
    const rows = options.batch * options.length;
    const ids = g.input('input_ids', [rows], 'int32');
    const features =
      options.tiles > 0 ? projector(ops, config, visionFeaturesInput(g, config, options)) : undefined;
    let x = languageEmbed(ops, config, ids, features);
    for (let layer = 0; layer < config.language.numLayers; layer++) x = languageBlock(ops, config, layer, x);
    g.output('y', x);
    const dims = [rows, config.language.hiddenSize];
    const session = await Session.create(ort, g.build(), options);
    return new WholeTrunk(session, shapes, new Float32Array(dims[0] * dims[1]), dims);
  }

  /** [batch · length, hidden], valid until the next call. */
  async forward(parameters: Parameters, feeds: ReadonlyMap<string, Feed>): Promise<Float32Array> {
    const inputs = new Map(feeds);
    feedParameters(inputs, this.session, this.shapes, parameters);
    await this.session.run(inputs, new Map([['y', this.session.float(this.output, this.dims)]]));
    return this.output;
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}
