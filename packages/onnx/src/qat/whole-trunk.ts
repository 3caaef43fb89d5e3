import { languageBlock, languageEmbed, projector } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { Graph } from '../graph.ts';
import { hostMemory } from '../memory.ts';
import type { Memory } from '../memory.ts';
import { OnnxOps } from '../onnx-ops.ts';
import { Session } from '../session.ts';
import type { Feed, OrtModule } from '../session.ts';
import { feedParameters, GraphParameters, parameterShapes } from './graph-parameters.ts';
import type { ParameterValues } from '../parameters.ts';
import type { ParameterShapes } from './graph-parameters.ts';
import { languageContext, visionContext, visionFeaturesInput } from './language-inputs.ts';
import type { TrunkOptions } from './options.ts';

/** Projector, embedding and all decoder layers as one forward graph. */
export class WholeTrunk {
  private constructor(
    private readonly session: Session,
    private readonly shapes: ParameterShapes,
    private readonly memory: Memory,
    private readonly output: Feed,
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
    const session = await Session.create(ort, g.build(), options);
    const memory = options.memory ?? hostMemory(ort);
    return new WholeTrunk(session, shapes, memory, await memory.zeros([rows, config.language.hiddenSize]));
  }

  /** [batch · length, hidden], valid until the next call. */
  async forward(parameters: ParameterValues, feeds: ReadonlyMap<string, Feed>): Promise<Feed> {
    const inputs = new Map(feeds);
    feedParameters(inputs, this.session, this.shapes, parameters);
    await this.session.run(inputs, new Map([['y', this.output]]));
    return this.output;
  }

  async release(): Promise<void> {
    await this.session.release();
    this.memory.free(this.output);
  }
}
