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
import { memoryUse } from './memory.ts';
import type { MemoryUse } from './memory.ts';
import { capacitiesOf } from './options.ts';
import type { WebGPUModelOptions } from './options.ts';
import type { Capacities, ModelPlans } from './plans.ts';
import { MAX_DECODE_STEPS, preparePlans, recordPlans, tokenReadbacks } from './plans.ts';

/** An InternVL model on the GPU with one KV cache. Calls may not overlap. */
export interface WebGPUModel {
  /** Tokens in the KV cache. */
  readonly length: number;
  /** Becomes less when the GPU has no memory for a larger cache. */
  readonly maxContext: number;
  /** Bytes of all GPU buffers: weights, cache, activations, living image features. */
  readonly memoryBytes: number;
  /** The same by purpose. */
  readonly memory: MemoryUse;
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
  const capacities = capacitiesOf(config, options);
  const watch = new DeviceWatch(device);
  const allocator = new Allocator(device);
  try {
    return await withErrorScopes(device, 'the model', async () => {
      const store = await WeightStore.load(allocator, weights);
      const plans = await preparePlans(device, recordPlans(allocator, config, store, capacities));
      return new PlannedModel(allocator, watch, config, capacities, plans);
    });
  } catch (error) {
    allocator.destroy();
    await watch.settle(error);
    watch.check(error);
    throw error;
  }
}

class PlannedModel implements WebGPUModel {
  #maxContext: number;
  readonly #allocator: Allocator;
  readonly #watch: DeviceWatch;
  readonly #config: InternVLConfig;
  readonly #capacities: Capacities;
  readonly #plans: ModelPlans;
  /** Two, because a burst of tokens runs while the one before is read. */
  readonly #tokensReadbacks: readonly GPUBuffer[];
  /** From the first readLogits on: runs copy their logits there as long as they are asked for. */
  #logitsReadback: GPUBuffer | undefined;
  #copiesLogits = false;
  /** The logits of the last run are on their way in the readback buffer. */
  #logitsCopied = false;
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
    this.#maxContext = capacities.maxContext;
    this.#allocator = allocator;
    this.#watch = watch;
    this.#config = config;
    this.#capacities = capacities;
    this.#plans = plans;
    this.#tokensReadbacks = tokenReadbacks(allocator);
  }

  get length(): number {
    return this.#length;
  }

  get maxContext(): number {
    return this.#maxContext;
  }

  get memoryBytes(): number {
    return this.#allocator.bytesOf();
  }

  get memory(): MemoryUse {
    return memoryUse(this.#allocator);
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
      const output = this.#allocator.storage('image features', tiles * tileBytes, 'images');
      try {
        const batch = this.#capacities.tilesPerBatch;
        let running: Promise<unknown> = Promise.resolve();
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
          // One batch waits while another runs: no gap between them, and an abort is heard.
          const before = running;
          running = device.queue.onSubmittedWorkDone();
          await before;
        }
        await running;
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
      await this.makeRoom(start + ids.length);
      this.#hasNext = false;
      this.#logitsCopied = false;
      let running: Promise<unknown> = Promise.resolve();
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
          if (last) {
            encoder.copyBufferToBuffer(buffers.tokens, 0, this.#tokensReadbacks[0], 0, 4);
            if (this.#copiesLogits) this.copyLogits(encoder);
          }
          device.queue.submit([encoder.finish()]);
          this.#length += count;
          this.#rowsOfLastRun = count;
          // One chunk waits while another runs: no gap between them, and an abort is heard.
          const before = running;
          running = device.queue.onSubmittedWorkDone();
          if (!last) await before;
          signal?.throwIfAborted();
        }
        const [id] = await readTokens(this.#tokensReadbacks[0], 1);
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
      await this.makeRoom(start + count);
      const tokens = new Uint32Array(count);
      this.#hasNext = false;
      // Whoever decodes on the GPU wants no logits; a later readLogits copies them by itself.
      this.#copiesLogits = false;
      this.#logitsCopied = false;
      // The burst that runs, and reads its tokens when it is done.
      let running: Promise<void> = Promise.resolve();
      try {
        for (let done = 0, burst = 0; done < count; burst++) {
          signal?.throwIfAborted();
          const steps = Math.min(MAX_DECODE_STEPS, count - done);
          const readback = this.#tokensReadbacks[burst % 2];
          this.submitDecode(steps, readback);
          const at = done;
          const read = readTokens(readback, steps).then((some) => tokens.set(some, at));
          // No gap between bursts, and an abort is heard.
          const before = running;
          running = read;
          // Told of below, after the burst before it.
          read.catch(() => undefined);
          await before;
          done += steps;
        }
        await running;
        signal?.throwIfAborted();
        this.#hasNext = true;
        return tokens;
      } catch (error) {
        // A buffer that is still to be read cannot take other tokens.
        await running.catch(() => undefined);
        this.#length = start;
        throw error;
      }
    });
  }

  readLogits(): Promise<Float32Array> {
    return this.exclusive(undefined, async () => {
      const { device } = this.#allocator;
      if (!this.#logitsCopied) {
        const encoder = device.createCommandEncoder();
        this.copyLogits(encoder);
        device.queue.submit([encoder.finish()]);
      }
      // Who asks once, as sampling does, asks after every token.
      this.#copiesLogits = true;
      const buffer = this.#logitsReadback!;
      await buffer.mapAsync(MAP_MODE_READ);
      const logits = new Float32Array(buffer.getMappedRange().slice(0));
      buffer.unmap();
      return logits;
    });
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
  private submitDecode(steps: number, readback: GPUBuffer): void {
    const { device } = this.#allocator;
    const { decode, buffers } = this.#plans;
    device.queue.writeBuffer(decode.plan.params, 0, new Uint32Array([1, this.#length, 0, 0]));
    for (let step = 0; step < steps; step++) {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      decode.plan.encode(pass, 1);
      pass.end();
      if (step === steps - 1) {
        encoder.copyBufferToBuffer(buffers.tokens, 0, readback, 0, steps * 4);
      }
      device.queue.submit([encoder.finish()]);
    }
    this.#length += steps;
  }

  private copyLogits(encoder: GPUCommandEncoder): void {
    const { logits } = this.#plans.buffers;
    const bytes = this.#config.language.vocabSize * 4;
    this.#logitsReadback ??= this.#allocator.readback('logits', bytes);
    encoder.copyBufferToBuffer(logits, 0, this.#logitsReadback, 0, bytes);
    this.#logitsCopied = true;
  }

  /** Lets the cache grow to `tokens` where it must. */
  private async makeRoom(tokens: number): Promise<void> {
    const { cache, prefill, decode } = this.#plans;
    try {
      await cache.grow(tokens, this.#length);
    } catch (error) {
      // What there is room for remains a usable context.
      if (error instanceof SpeedqError && error.code === 'out-of-memory') this.#maxContext = cache.capacity;
      throw error;
    } finally {
      // Also after a failure in the middle, when some layers have grown.
      if (cache.takeChanged()) for (const { plan } of [prefill, decode]) plan.rebind();
    }
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
      // What waits for a device that is lost may wait for ever.
      return await Promise.race([work(), this.#watch.lost]);
    } catch (error) {
      if (!signal?.aborted) await this.#watch.settle(error);
      this.#watch.check(error);
      throw error;
    } finally {
      this.#busy = false;
    }
  }
}

async function readTokens(buffer: GPUBuffer, count: number): Promise<Uint32Array> {
  await buffer.mapAsync(MAP_MODE_READ, 0, count * 4);
  const tokens = new Uint32Array(buffer.getMappedRange(0, count * 4).slice(0));
  buffer.unmap();
  return tokens;
}
