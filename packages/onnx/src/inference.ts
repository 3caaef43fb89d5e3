import { imageFeatures, languageModel, parameterInventory, type InternVLConfig } from '@speedq/model';
import { SpeedqError } from '@speedq/format';
import { Graph, type Tensor } from './graph.ts';
import { OnnxOps } from './onnx-ops.ts';
import { MASKED, rotaryTable } from './rotary.ts';
import { Session, type Feed, type OrtModule, type SessionOptions } from './session.ts';

/** Float parameters by canonical name: a map, or what reads them when they are asked for. */
export interface Parameters {
  get(name: string): Float32Array | undefined;
}

/** Declares parameters as graph inputs, so that one graph serves any weights and nothing is copied. */
export function parameterInputs(g: Graph, config: InternVLConfig): (name: string) => Tensor {
  const shapes = new Map(parameterInventory(config).map(({ name, shape }) => [name, shape]));
  const declared = new Map<string, Tensor>();
  return (name) => {
    const known = declared.get(name);
    if (known) return known;
    const shape = shapes.get(name);
    if (!shape)
      throw new SpeedqError('internal', `The model reads a parameter ${name} that its inventory lacks.`);
    const tensor = g.input(name, shape);
    declared.set(name, tensor);
    return tensor;
  };
}

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

/** The language side with its KV cache; `withImages` adds the inputs that place picture features. */
function buildLanguageGraph(config: InternVLConfig, withImages: boolean): Uint8Array {
  const g = new Graph();
  const { headDim, numKeyValueHeads, hiddenSize } = config.language;
  const half = headDim / 2;
  const features = withImages ? g.input('image_features', ['features', hiddenSize]) : undefined;
  const ops = new OnnxOps(g, {
    parameter: parameterInputs(g, config),
    language: {
      batch: 1,
      length: 'length',
      cos: g.input('cos', [1, 'length', 1, half]),
      sin: g.input('sin', [1, 'length', 1, half]),
      mask: g.input('mask', [1, 1, 'length', 'total']),
      imageIndex: withImages ? g.input('image_index', ['length'], 'int64') : undefined,
      imageMask: withImages ? g.input('image_mask', ['length', 1]) : undefined,
      selected: g.input('selected', ['selected'], 'int64'),
      cache: {
        past: (layer) => ({
          key: g.input(`past.${layer}.key`, [1, numKeyValueHeads, 'past', headDim]),
          value: g.input(`past.${layer}.value`, [1, numKeyValueHeads, 'past', headDim]),
        }),
        present: (layer, key, value) => {
          g.output(`present.${layer}.key`, key);
          g.output(`present.${layer}.value`, value);
        },
        total: 'total',
      },
    },
  });
  const ids = g.input('input_ids', ['length'], 'int64');
  g.output('logits', languageModel(ops, config, ids, features));
  return g.build();
}

/**
 * InternVL in float32 through onnxruntime: the CPU reference that the WebGPU engine, the quantizers
 * and the evaluation are compared with. One sequence at a time, with its KV cache.
 */
export class OnnxModel {
  private cache = new Map<string, Feed>();
  /** Tokens in the cache. */
  length = 0;

  private constructor(
    readonly config: InternVLConfig,
    private readonly parameters: Map<string, Feed>,
    private readonly vision: Session,
    private readonly language: Session,
    private readonly languageWithImages: Session,
  ) {
    this.reset();
  }

  static async create(
    ort: OrtModule,
    config: InternVLConfig,
    parameters: Parameters,
    options: SessionOptions = {},
  ): Promise<OnnxModel> {
    const [vision, language, withImages] = [
      await Session.create(ort, buildVisionGraph(config), options),
      await Session.create(ort, buildLanguageGraph(config, false), options),
      await Session.create(ort, buildLanguageGraph(config, true), options),
    ];
    return new OnnxModel(config, parameterFeeds(vision, config, parameters), vision, language, withImages);
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
    const { language, imageTokenId } = this.config;
    const length = ids.length;
    const total = this.length + length;
    if (total > language.maxPositionEmbeddings) {
      throw new SpeedqError(
        'context-exceeded',
        `The conversation has ${total} tokens; the model holds ${language.maxPositionEmbeddings}. Shorten it.`,
      );
    }
    const session = features ? this.languageWithImages : this.language;
    const half = language.headDim / 2;
    const { cos, sin } = rotaryTable(
      Array.from({ length }, (_, i) => this.length + i),
      language.headDim,
      language.ropeTheta,
    );
    const feeds = new Map([...this.parameters, ...this.cache]);
    feeds.set('input_ids', session.int(BigInt64Array.from(Array.from(ids, BigInt)), [length]));
    feeds.set('cos', session.float(cos, [1, length, 1, half]));
    feeds.set('sin', session.float(sin, [1, length, 1, half]));
    feeds.set('mask', session.float(causalMask(this.length, length), [1, 1, length, total]));
    const rows = logits === 'all' ? length : logits === 'last' ? 1 : logits;
    const selected = Array.from({ length: rows }, (_, i) => BigInt(length - rows + i));
    feeds.set('selected', session.int(BigInt64Array.from(selected), [selected.length]));
    if (features) {
      const placed = placeFeatures(ids, imageTokenId, features.length / language.hiddenSize);
      feeds.set('image_features', session.float(features, [placed.count, language.hiddenSize]));
      feeds.set('image_index', session.int(placed.index, [length]));
      feeds.set('image_mask', session.float(placed.mask, [length, 1]));
    }
    const results = await session.run(feeds);
    for (let layer = 0; layer < language.numLayers; layer++) {
      for (const part of ['key', 'value']) {
        this.cache.set(`past.${layer}.${part}`, results.get(`present.${layer}.${part}`)!);
      }
    }
    this.length = total;
    return results.get('logits')!.data as Float32Array;
  }

  /** Forgets the tokens beyond the first `length`. */
  truncate(length: number): void {
    if (length >= this.length) return;
    const { numKeyValueHeads, headDim } = this.config.language;
    for (const [name, feed] of this.cache) {
      const kept = new Float32Array(numKeyValueHeads * length * headDim);
      for (let head = 0; head < numKeyValueHeads; head++) {
        const start = head * this.length * headDim;
        kept.set(
          (feed.data as Float32Array).subarray(start, start + length * headDim),
          head * length * headDim,
        );
      }
      this.cache.set(name, this.language.float(kept, [1, numKeyValueHeads, length, headDim]));
    }
    this.length = length;
  }

  /** Forgets the conversation. */
  reset(): void {
    const { numLayers, numKeyValueHeads, headDim } = this.config.language;
    for (let layer = 0; layer < numLayers; layer++) {
      for (const part of ['key', 'value']) {
        this.cache.set(
          `past.${layer}.${part}`,
          this.language.float(new Float32Array(0), [1, numKeyValueHeads, 0, headDim]),
        );
      }
    }
    this.length = 0;
  }

  async release(): Promise<void> {
    await this.vision.release();
    await this.language.release();
    await this.languageWithImages.release();
  }
}

/** Additive mask [length, past + length]: token t sees the past and the tokens up to itself. */
function causalMask(past: number, length: number): Float32Array {
  const mask = new Float32Array(length * (past + length));
  for (let t = 0; t < length; t++)
    mask.fill(MASKED, t * (past + length) + past + t + 1, (t + 1) * (past + length));
  return mask;
}

/** Which feature row each token takes, and whether it takes one. */
export function placeFeatures(ids: ArrayLike<number>, imageTokenId: number, available: number) {
  const index = new BigInt64Array(ids.length);
  const mask = new Float32Array(ids.length);
  let count = 0;
  for (let t = 0; t < ids.length; t++) {
    if (ids[t] !== imageTokenId) continue;
    index[t] = BigInt(count++);
    mask[t] = 1;
  }
  if (count !== available) {
    throw new SpeedqError(
      'invalid-data',
      `The prompt has ${count} image tokens but the pictures give ${available} features. ` +
        'Expand each picture to tiles × tokens per tile placeholders.',
    );
  }
  return { index, mask, count };
}

/** Every parameter of the inventory as a feed; the data is not copied. */
export function parameterFeeds(
  session: Session,
  config: InternVLConfig,
  parameters: Parameters,
): Map<string, Feed> {
  return new Map(
    parameterInventory(config).map(({ name, shape }) => {
      const data = parameters.get(name);
      if (!data)
        throw new SpeedqError('missing-tensor', `The model lacks the tensor ${name}; check its folder.`);
      return [name, session.float(data, shape)];
    }),
  );
}
