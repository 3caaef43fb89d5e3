import { imageFeatures, type InternVLConfig } from '@speedq/model';
import { Graph } from './graph.ts';
import { LanguageSessions } from './language-sessions.ts';
import { OnnxOps } from './onnx-ops.ts';
import { parameterFeeds, parameterInputs, type Parameters } from './parameters.ts';
import { SequenceBatch } from './sequence-batch.ts';
import { Session, type Feed, type OrtModule, type SessionOptions } from './session.ts';

/** The picture side as a graph: pixel_values [tiles, 3, S, S] → image_features [tiles · tokensPerTile, H]. */
function buildVisionGraph(config: InternVLConfig): Uint8Array {
  const g = new Graph();
  const { imageSize, patchSize } = config.vision;
  const tokens = (imageSize / patchSize) ** 2 + 1;
  const ops = new OnnxOps(g, { parameter: parameterInputs(g, config), vision: { tiles: 'tiles', tokens } });
  const pixels = g.input('pixel_values', ['tiles', 3, imageSize, imageSize]);
  g.output('image_features', imageFeatures(ops, config, pixels));
  return g.build();
}

/**
 * InternVL in float32 through onnxruntime: the CPU reference that the WebGPU engine, the quantizers
 * and the evaluation are compared with. It holds one sequence with its KV cache; `openBatch` gives more.
 */
export class OnnxModel {
  private sequence: SequenceBatch;

  private constructor(
    private readonly vision: Session,
    private readonly language: LanguageSessions,
    private readonly parameters: Map<string, Feed>,
  ) {
    this.sequence = this.openBatch(1);
  }

  static async create(
    ort: OrtModule,
    config: InternVLConfig,
    parameters: Parameters,
    options: SessionOptions = {},
  ): Promise<OnnxModel> {
    const vision = await Session.create(ort, buildVisionGraph(config), options);
    const feeds = parameterFeeds(vision, config, parameters);
    return new OnnxModel(vision, new LanguageSessions(ort, config, feeds, options), feeds);
  }

  get config(): InternVLConfig {
    return this.language.config;
  }

  /** Tokens in the cache. */
  get length(): number {
    return this.sequence.length(0);
  }

  /** Replaces the weights; the sessions stay. */
  setParameters(parameters: Parameters): void {
    for (const [name, feed] of parameterFeeds(this.vision, this.config, parameters))
      this.parameters.set(name, feed);
    this.reset();
  }

  /** pixels [tiles, 3, S, S] → features [tiles · tokensPerTile, H]. */
  async encodeImages(pixels: Float32Array, tiles: number): Promise<Float32Array> {
    const { imageSize } = this.config.vision;
    const feeds = new Map(this.parameters);
    feeds.set('pixel_values', this.vision.float(pixels, [tiles, 3, imageSize, imageSize]));
    const results = await this.vision.run(feeds);
    return results.get('image_features')!.data as Float32Array;
  }

  /**
   * Appends tokens and returns logits [rows, vocabulary]: of the last token, of the last `logits` ones, or of
   * each new one.
   * `features` are the rows for the image placeholders among `ids`, in order.
   */
  async forward(
    ids: ArrayLike<number>,
    { features, logits = 'last' }: { features?: Float32Array; logits?: 'last' | 'all' | number } = {},
  ): Promise<Float32Array> {
    const rows = logits === 'all' ? ids.length : logits === 'last' ? 1 : logits;
    const [found] = await this.sequence.append([{ ids, features, logits: rows }]);
    return found;
  }

  /** Forgets the tokens beyond the first `length`. */
  truncate(length: number): void {
    this.sequence.truncate(0, length);
  }

  /** Forgets the conversation. */
  reset(): void {
    this.sequence = this.openBatch(1);
  }

  /** Empty sequences that advance together, apart from the model's own. */
  openBatch(size: number): SequenceBatch {
    return new SequenceBatch(this.language, size);
  }

  async release(): Promise<void> {
    await this.vision.release();
    await this.language.release();
  }
}
