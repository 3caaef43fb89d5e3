import { visionBlock, visionEmbed } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { Graph } from './graph.ts';
import { OnnxOps } from './onnx-ops.ts';
import { feedParameters, GraphParameters, parameterShapes } from './qat/graph-parameters.ts';
import type { ParameterValues } from './parameters.ts';
import type { ParameterShapes } from './qat/graph-parameters.ts';
import { tileTokens } from './qat/language-inputs.ts';
import type { TrunkOptions } from './qat/options.ts';
import { Session } from './session.ts';
import type { OrtModule, SessionOptions } from './session.ts';

export interface VisionForwardOptions
  extends
    Pick<SessionOptions, 'executionProvider' | 'threads'>,
    Pick<TrunkOptions, 'scheme' | 'reference' | 'storage'> {}

/** The frozen vision encoder without the projector, whose output QAT steps start from. */
export class VisionForward {
  private constructor(
    private readonly config: InternVLConfig,
    private readonly shapes: ParameterShapes,
    private readonly session: Session,
  ) {}

  static async create(
    ort: OrtModule,
    config: InternVLConfig,
    options: VisionForwardOptions = {},
  ): Promise<VisionForward> {
    const shapes = parameterShapes(config);
    const g = new Graph();
    const { parameter, linearWeight } = new GraphParameters(g, shapes, options);
    const vision = { tiles: 'tiles', tokens: tileTokens(config) };
    const ops = new OnnxOps(g, { parameter, linearWeight, vision });
    const { imageSize, numLayers } = config.vision;
    let x = visionEmbed(ops, config, g.input('pixel_values', ['tiles', 3, imageSize, imageSize]));
    for (let layer = 0; layer < numLayers; layer++) x = visionBlock(ops, config, layer, x);
    g.output('y', x);
    return new VisionForward(config, shapes, await Session.create(ort, g.build(), options));
  }

  /** pixels [tiles, 3, S, S] → [tiles · (1 + grid²), vision hidden], class tokens included. */
  async run(parameters: ParameterValues, pixels: Float32Array, tiles: number): Promise<Float32Array> {
    const { imageSize } = this.config.vision;
    const feeds = new Map([['pixel_values', this.session.float(pixels, [tiles, 3, imageSize, imageSize])]]);
    feedParameters(feeds, this.session, this.shapes, parameters);
    return (await this.session.run(feeds)).get('y')!.data as Float32Array;
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}
