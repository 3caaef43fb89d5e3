import { visionBlock, visionEmbed } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { Graph, Session, parameterInputs } from '@speedq/onnx';
import type { Feed, Parameters } from '@speedq/onnx';
import { parameterInventory } from '@speedq/model';
import { ort } from '../context.ts';
import { RecordingOps } from '../recording-ops.ts';

/** Tokens of a tile inside the vision encoder, class token included. */
export function tileTokens({ vision }: InternVLConfig): number {
  return (vision.imageSize / vision.patchSize) ** 2 + 1;
}

/** All blocks have one shape, so one session serves them: its inputs carry the names of layer 0. */
export function asLayer0(name: string, layer: number): string {
  return name.replace(`encoder.layer.${layer}.`, 'encoder.layer.0.');
}

/** The vision encoder one block at a time, and what its linears multiply. */
export class VisionBlocks {
  private readonly shapes: ReadonlyMap<string, readonly number[]>;

  private constructor(
    private readonly config: InternVLConfig,
    private readonly embedding: Session,
    private readonly block: Session,
  ) {
    this.shapes = new Map(parameterInventory(config).map(({ name, shape }) => [name, shape]));
  }

  static async create(config: InternVLConfig, threads: number): Promise<VisionBlocks> {
    const { imageSize, hiddenSize } = config.vision;
    const vision = { tiles: 'tiles', tokens: tileTokens(config) };
    const start = new Graph();
    const startOps = new RecordingOps(start, { parameter: parameterInputs(start, config), vision });
    start.output(
      'y',
      visionEmbed(startOps, config, start.input('pixels', ['tiles', 3, imageSize, imageSize])),
    );
    const g = new Graph();
    const ops = new RecordingOps(g, { parameter: parameterInputs(g, config), vision });
    g.output('y', visionBlock(ops, config, 0, g.input('x', [`tiles*${vision.tokens}`, hiddenSize])));
    for (const [weight, tensor] of ops.inputs) g.output(inputOf(weight), tensor);
    return new VisionBlocks(
      config,
      await Session.create(ort, start.build(), { threads }),
      await Session.create(ort, g.build(), { threads }),
    );
  }

  /** pixels [tiles, 3, S, S] → [tiles · tokens, hidden]. */
  async embed(parameters: Parameters, pixels: Float32Array): Promise<Float32Array> {
    const { imageSize } = this.config.vision;
    const tiles = pixels.length / (3 * imageSize * imageSize);
    const feeds = this.feeds(this.embedding, parameters, (name) => name);
    feeds.set('pixels', this.embedding.float(pixels, [tiles, 3, imageSize, imageSize]));
    return floats(await this.embedding.run(feeds, ['y']), 'y');
  }

  /** x [tiles · tokens, hidden] through one block. */
  async forward(parameters: Parameters, layer: number, x: Float32Array): Promise<Float32Array> {
    return floats(await this.block.run(this.blockFeeds(parameters, layer, x), ['y']), 'y');
  }

  /** What each linear of the block multiplies, by the canonical names of their weights. */
  async linearInputs(
    parameters: Parameters,
    layer: number,
    x: Float32Array,
  ): Promise<Map<string, Float32Array>> {
    const results = await this.block.run(this.blockFeeds(parameters, layer, x));
    const inputs = new Map<string, Float32Array>();
    for (const name of results.keys()) {
      if (!name.startsWith(PREFIX)) continue;
      const weight = name.slice(PREFIX.length).replace('encoder.layer.0.', `encoder.layer.${layer}.`);
      inputs.set(weight, floats(results, name));
    }
    return inputs;
  }

  async release(): Promise<void> {
    await this.embedding.release();
    await this.block.release();
  }

  private blockFeeds(parameters: Parameters, layer: number, x: Float32Array): Map<string, Feed> {
    const { hiddenSize } = this.config.vision;
    const feeds = this.feeds(this.block, parameters, (name) =>
      name.replace('encoder.layer.0.', `encoder.layer.${layer}.`),
    );
    feeds.set('x', this.block.float(x, [x.length / hiddenSize, hiddenSize]));
    return feeds;
  }

  private feeds(
    session: Session,
    parameters: Parameters,
    rename: (name: string) => string,
  ): Map<string, Feed> {
    const feeds = new Map<string, Feed>();
    for (const input of session.inputNames) {
      const shape = this.shapes.get(input);
      if (shape !== undefined) feeds.set(input, session.float(parameters.get(rename(input))!, shape));
    }
    return feeds;
  }
}

const PREFIX = 'input.';
const inputOf = (weight: string) => `${PREFIX}${weight}`;

function floats(results: ReadonlyMap<string, Feed>, name: string): Float32Array {
  return results.get(name)!.data as Float32Array;
}
