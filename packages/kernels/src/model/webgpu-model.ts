import { SpeedqError } from '@speedq/format';
import type { InternVLConfig } from '@speedq/model';
import { Allocator } from '../engine/allocator.ts';
import { MAP_MODE_READ } from '../engine/constants.ts';
import { DeviceWatch, withErrorScopes } from '../engine/errors.ts';
import { readFloats } from '../engine/readback.ts';
import type { WeightSource } from '../weights/source.ts';
import { WeightStore } from '../weights/store.ts';
import type { ImageFeatures } from './image-features.ts';
import { FeatureRows, GPUImageFeatures } from './image-features.ts';
import type { Capacities, ModelPlans } from './plans.ts';
import { MAX_DECODE_STEPS, preparePlans } from './plans.ts';

export interface WebGPUModelOptions {
  /** Tokens the KV cache holds. */
  readonly maxContext: number;
  /** Tokens per prefill run: bounds activations and how long an abort can go unnoticed. Default 256. */
  readonly prefillChunk?: number;
  /** Tiles per run of the vision encoder. Default: as many as keep it near 2,048 tokens. */
  readonly tilesPerBatch?: number;
  /** For tests: keep the logits of every position of a prefill run, see readAllLogits. */
  readonly allLogits?: boolean;
}

/** An InternVL model on the GPU with one KV cache. Calls may not overlap. */
export interface WebGPUModel {
  /** Tokens in the KV cache. */
  readonly length: number;
  readonly maxContext: number;
  /** Bytes of all GPU buffers: weights, cache, activations, living image features. */
  readonly memoryBytes: number;
  /** Normalised pixels [tiles, 3, S, S] → features that stay on the GPU until destroyed. */
  encodeImages(pixels: Float32Array, tiles: number, signal?: AbortSignal): Promise<ImageFeatures>;
  /**
   * Appends ids to the cache; the images' rows replace the image-token ids in order. Returns the greedy next
   * id, which is not in the cache yet. After an abort or error the cache is as long as before.
   */
  prefill(ids: Uint32Array, images: readonly ImageFeatures[], signal?: AbortSignal): Promise<number>;
  /**
   * Greedy: appends the last returned id, then each chosen one but the last; returns the `count` chosen.
   * Needs a prefill or decode since the last truncation.
   */
  decode(count: number, signal?: AbortSignal): Promise<Uint32Array>;
  /** Logits [vocabulary] after the last prefilled or decoded token. */
  readLogits(): Promise<Float32Array>;
  /** Logits [rows, vocabulary] of the last prefill run (chunk); needs the option `allLogits`. */
  readAllLogits(): Promise<Float32Array>;
  /** Forgets the cache beyond `length` tokens. */
  truncate(length: number): void;
  destroy(): void;
}

const DEFAULT_PREFILL_CHUNK = 256;
const VISION_TOKENS_PER_BATCH = 2048;

/**
 * Uploads the weights and prepares the plans. Runs within default device limits.
 * @throws SpeedqError 'missing-tensor', 'shape-mismatch', 'unsupported', 'out-of-memory', 'invalid-argument'.
 */
export async function createWebGPUModel(
  device: GPUDevice,
  config: InternVLConfig,
  weights: WeightSource,
  options: WebGPUModelOptions,
): Promise<WebGPUModel> {
  const { vision, language } = config;
  const tileTokens = 1 + (vision.imageSize / vision.patchSize) ** 2;
  const capacities: Capacities = {
    maxContext: options.maxContext,
    // a plan of one row would be the decode plan, which takes no images
    prefillChunk: Math.max(2, Math.min(options.prefillChunk ?? DEFAULT_PREFILL_CHUNK, options.maxContext)),
    tilesPerBatch: options.tilesPerBatch ?? Math.max(1, Math.floor(VISION_TOKENS_PER_BATCH / tileTokens)),
    allLogits: options.allLogits ?? false,
  };
  for (const [name, value] of Object.entries(capacities)) {
    if (name !== 'allLogits' && !(Number.isInteger(value) && (value as number) >= 1)) {
      throw new SpeedqError('invalid-argument', `${name} must be a positive integer, got ${String(value)}.`);
    }
  }
  if (options.maxContext > language.maxPositionEmbeddings) {
    throw new SpeedqError(
      'invalid-argument',
      `maxContext ${options.maxContext} exceeds the ${language.maxPositionEmbeddings} positions the model was trained for.`,
    );
  }
  const watch = new DeviceWatch(device);
  const allocator = new Allocator(device);
  try {
    return await withErrorScopes(device, 'the model', async () => {
      const store = await WeightStore.load(allocator, weights);
      const plans = await preparePlans(allocator, config, store, capacities);
      return new PlannedModel(allocator, watch, config, capacities, plans);
    });
  } catch (error) {
    allocator.destroy();
    watch.check(error);
    throw error;
  }
}

class PlannedModel implements WebGPUModel {
  readonly maxContext: number;
  readonly #allocator: Allocator;
  readonly #watch: DeviceWatch;
  readonly #config: InternVLConfig;
  readonly #capacities: Capacities;
  readonly #plans: ModelPlans;
  readonly #tokensReadback: GPUBuffer;
  #length = 0;
  /** The GPU holds the id that follows the cache. */
  #hasNext = false;
  #rowsOfLastRun = 0;
  #busy = false;
  #destroyed = false;

  constructor(
    allocator: Allocator,
    watch: DeviceWatch,
    config: InternVLConfig,
    capacities: Capacities,
    plans: ModelPlans,
  ) {
    this.maxContext = capacities.maxContext;
    this.#allocator = allocator;
    this.#watch = watch;
    this.#config = config;
    this.#capacities = capacities;
    this.#plans = plans;
    this.#tokensReadback = allocator.readback('decoded tokens', MAX_DECODE_STEPS * 4);
  }

  get length(): number {
    return this.#length;
  }

  get memoryBytes(): number {
    return this.#allocator.bytes;
  }

  encodeImages(pixels: Float32Array, tiles: number, signal?: AbortSignal): Promise<ImageFeatures> {
    return this.exclusive(signal, async () => {
      const { vision, language, tokensPerTile } = this.#config;
      const tileValues = 3 * vision.imageSize ** 2;
      if (tiles < 1 || pixels.length !== tiles * tileValues) {
        throw new SpeedqError(
          'invalid-argument',
          `Expected pixels [tiles, 3, ${vision.imageSize}, ${vision.imageSize}] of at least one tile, ` +
            `got ${pixels.length} values for ${tiles} tiles.`,
        );
      }
      const { device } = this.#allocator;
      const { vision: plan, buffers } = this.#plans;
      const tileBytes = tokensPerTile * language.hiddenSize * 4;
      const output = this.#allocator.storage('image features', tiles * tileBytes);
      try {
        const batch = this.#capacities.tilesPerBatch;
        for (let tile = 0; tile < tiles; tile += batch) {
          signal?.throwIfAborted();
          const count = Math.min(batch, tiles - tile);
          const values = pixels.subarray(tile * tileValues, (tile + count) * tileValues);
          device.queue.writeBuffer(buffers.pixels, 0, values as Float32Array<ArrayBuffer>);
          device.queue.writeBuffer(plan.params, 0, new Uint32Array([count, 0, 0, 0]));
          const encoder = device.createCommandEncoder();
          const pass = encoder.beginComputePass();
          plan.encode(pass, count);
          pass.end();
          encoder.copyBufferToBuffer(buffers.visionOutput, 0, output, tile * tileBytes, count * tileBytes);
          device.queue.submit([encoder.finish()]);
          await device.queue.onSubmittedWorkDone();
        }
        signal?.throwIfAborted();
      } catch (error) {
        this.#allocator.free(output);
        throw error;
      }
      return new GPUImageFeatures(tiles * tokensPerTile, output, this.#allocator);
    });
  }

  prefill(ids: Uint32Array, images: readonly ImageFeatures[], signal?: AbortSignal): Promise<number> {
    return this.exclusive(signal, async () => {
      this.checkIds(ids);
      this.checkSpace(ids.length);
      const { imageTokenId, language } = this.#config;
      const { device } = this.#allocator;
      const { buffers } = this.#plans;
      const rows = new FeatureRows(images, language.hiddenSize * 4);
      rows.expect(ids.reduce((count, id) => count + (id === imageTokenId ? 1 : 0), 0));
      const start = this.#length;
      this.#hasNext = false;
      try {
        for (let at = 0; at < ids.length;) {
          const chunk = ids.subarray(at, at + this.#capacities.prefillChunk);
          const count = chunk.length;
          at += count;
          const last = at === ids.length;
          const single = count === 1 && chunk[0] !== imageTokenId && !this.#capacities.allLogits;
          const { plan, head } = single ? this.#plans.decode : this.#plans.prefill;
          const target = single ? buffers.next : buffers.ids;
          device.queue.writeBuffer(target, 0, chunk as Uint32Array<ArrayBuffer>);
          device.queue.writeBuffer(plan.params, 0, new Uint32Array([count, this.#length, 0, 0]));
          const encoder = device.createCommandEncoder();
          const imageRows = chunk.reduce((sum, id) => sum + (id === imageTokenId ? 1 : 0), 0);
          rows.copy(encoder, imageRows, buffers.features);
          const pass = encoder.beginComputePass();
          plan.encode(pass, count, 0, last || this.#capacities.allLogits ? undefined : head);
          pass.end();
          if (last) encoder.copyBufferToBuffer(buffers.tokens, 0, this.#tokensReadback, 0, 4);
          device.queue.submit([encoder.finish()]);
          this.#length += count;
          this.#rowsOfLastRun = count;
          // between chunks: lets an abort be heard
          if (!last) await device.queue.onSubmittedWorkDone();
          signal?.throwIfAborted();
        }
        const [id] = await this.readTokens(1);
        signal?.throwIfAborted();
        this.#hasNext = true;
        return id;
      } catch (error) {
        this.#length = start;
        throw error;
      }
    });
  }

  decode(count: number, signal?: AbortSignal): Promise<Uint32Array> {
    return this.exclusive(signal, async () => {
      if (!Number.isInteger(count) || count < 1) {
        throw new SpeedqError('invalid-argument', `decode needs a positive number of tokens, got ${count}.`);
      }
      if (!this.#hasNext) {
        throw new SpeedqError(
          'invalid-argument',
          'decode continues the last prefill or decode, and there is none since the cache was created or truncated. Call prefill first.',
        );
      }
      this.checkSpace(count);
      const start = this.#length;
      const tokens = new Uint32Array(count);
      this.#hasNext = false;
      try {
        for (let done = 0; done < count;) {
          signal?.throwIfAborted();
          const steps = Math.min(MAX_DECODE_STEPS, count - done);
          this.submitDecode(steps);
          tokens.set(await this.readTokens(steps), done);
          done += steps;
        }
        signal?.throwIfAborted();
        this.#hasNext = true;
        return tokens;
      } catch (error) {
        this.#length = start;
        throw error;
      }
    });
  }

  async readLogits(): Promise<Float32Array> {
    return this.exclusive(undefined, () =>
      readFloats(this.#allocator, this.#plans.buffers.logits, this.#config.language.vocabSize),
    );
  }

  async readAllLogits(): Promise<Float32Array> {
    const { allLogits } = this.#plans.buffers;
    if (allLogits === undefined) {
      throw new SpeedqError(
        'invalid-argument',
        'readAllLogits needs a model created with { allLogits: true }.',
      );
    }
    return this.exclusive(undefined, () =>
      readFloats(this.#allocator, allLogits, this.#rowsOfLastRun * this.#config.language.vocabSize),
    );
  }

  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length || this.#busy) {
      throw new SpeedqError(
        'invalid-argument',
        this.#busy
          ? 'The cache cannot be truncated while a call is running; await it first.'
          : `Cannot truncate a cache of ${this.#length} tokens to ${length}.`,
      );
    }
    if (length < this.#length) this.#hasNext = false;
    this.#length = length;
  }

  destroy(): void {
    this.#destroyed = true;
    this.#allocator.destroy();
  }

  /** One submission per token; the GPU itself carries the chosen id and the position to the next. */
  private submitDecode(steps: number): void {
    const { device } = this.#allocator;
    const { decode, buffers } = this.#plans;
    device.queue.writeBuffer(decode.plan.params, 0, new Uint32Array([1, this.#length, 0, 0]));
    for (let step = 0; step < steps; step++) {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      decode.plan.encode(pass, 1);
      pass.end();
      if (step === steps - 1) {
        encoder.copyBufferToBuffer(buffers.tokens, 0, this.#tokensReadback, 0, steps * 4);
      }
      device.queue.submit([encoder.finish()]);
    }
    this.#length += steps;
  }

  private async readTokens(count: number): Promise<Uint32Array> {
    const buffer = this.#tokensReadback;
    await buffer.mapAsync(MAP_MODE_READ, 0, count * 4);
    const tokens = new Uint32Array(buffer.getMappedRange(0, count * 4).slice(0));
    buffer.unmap();
    return tokens;
  }

  private checkIds(ids: Uint32Array): void {
    const { vocabSize } = this.#config.language;
    const bad = ids.find((id) => id >= vocabSize);
    if (ids.length === 0 || bad !== undefined) {
      throw new SpeedqError(
        'invalid-argument',
        ids.length === 0
          ? 'prefill needs at least one token.'
          : `Token id ${bad} is outside the embedding table of ${vocabSize} rows. Do tokenizer and model belong together?`,
      );
    }
  }

  private checkSpace(count: number): void {
    if (this.#length + count > this.maxContext) {
      throw new SpeedqError(
        'context-exceeded',
        `${this.#length} + ${count} tokens do not fit a context of ${this.maxContext}. ` +
          'Shorten the conversation, or load the model with a larger context.',
      );
    }
  }

  /** Runs `work` alone, on a living device. */
  private async exclusive<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    if (this.#busy || this.#destroyed) {
      throw new SpeedqError(
        'invalid-argument',
        this.#destroyed
          ? 'The model was destroyed; load it again.'
          : 'Another call is running; await it first.',
      );
    }
    signal?.throwIfAborted();
    this.#watch.check();
    this.#busy = true;
    try {
      return await work();
    } catch (error) {
      await this.#watch.settle();
      this.#watch.check(error);
      throw error;
    } finally {
      this.#busy = false;
    }
  }
}
