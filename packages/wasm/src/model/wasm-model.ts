import { SpeedqError } from '@speedq/format';
import type { MemoryUse, WeightSource } from '@speedq/kernels';
import {
  languageBlock,
  languageEmbed,
  languageHead,
  projector,
  visionBlock,
  visionEmbed,
} from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { Heap } from '../heap.ts';
import { instantiateKernels } from '../kernels/module.ts';
import { padded, WeightStore } from '../weights/store.ts';
import { KeyValueCache, Rotation } from './attention.ts';
import type { AttentionMachine } from './attention.ts';
import { Breath } from './breath.ts';
import { allocateRows } from './linear.ts';
import type { Activation } from './linear.ts';
import { WasmOps } from './wasm-ops.ts';

export interface WasmModelOptions {
  /** Tokens the KV cache holds. */
  readonly maxContext: number;
  /** Tokens per prefill run: bounds work space and how long an abort can go unnoticed. Default 128. */
  readonly prefillChunk?: number;
}

const DEFAULT_PREFILL_CHUNK = 128;

/** Features of one picture [tokens, hidden], on the JavaScript heap. */
export class HostImageFeatures {
  readonly tokens: number;
  #rows: Float32Array | undefined;
  readonly #onDestroy: (bytes: number) => void;

  constructor(rows: Float32Array, tokens: number, onDestroy: (bytes: number) => void) {
    this.#rows = rows;
    this.tokens = tokens;
    this.#onDestroy = onDestroy;
  }

  /** The rows themselves, no copy. */
  get rows(): Float32Array {
    if (this.#rows !== undefined) return this.#rows;
    throw new SpeedqError(
      'invalid-argument',
      'These image features were destroyed; encode the picture again.',
    );
  }

  destroy(): void {
    if (this.#rows !== undefined) this.#onDestroy(this.#rows.byteLength);
    this.#rows = undefined;
  }
}

/**
 * An InternVL model on the CPU with one KV cache, reading packed weights with WebAssembly SIMD in one thread. The same
 * promises as `WebGPUModel`; calls may not overlap.
 */
export class WasmModel {
  readonly maxContext: number;
  readonly #config: InternVLConfig;
  readonly #machine: AttentionMachine;
  readonly #weights: WeightStore;
  readonly #weightBytes: number;
  readonly #cache: KeyValueCache;
  readonly #chunk: number;
  /** What passes from layer to layer. */
  readonly #states: Activation;
  /** Heap in use between runs. */
  readonly #base: number;
  #imageBytes = 0;
  #length = 0;
  /** Logits [vocabulary] after the last token of the cache; undefined after a truncation. */
  #logits: Float32Array | undefined;
  #busy = false;
  #destroyed = false;

  private constructor(
    config: InternVLConfig,
    machine: AttentionMachine,
    weights: WeightStore,
    maxContext: number,
    chunk: number,
  ) {
    const { heap } = machine;
    this.#config = config;
    this.#machine = machine;
    this.#weights = weights;
    this.#weightBytes = heap.used;
    this.maxContext = maxContext;
    this.#chunk = chunk;
    this.#cache = new KeyValueCache(heap, config.language, maxContext);
    const rows = Math.max(chunk, visionTokens(config));
    this.#states = allocateRows(heap, rows, Math.max(config.language.hiddenSize, config.vision.hiddenSize));
    this.#base = heap.used;
  }

  /**
   * Loads the weights.
   * @throws {SpeedqError} `missing-tensor`, `shape-mismatch`, `out-of-memory`, `invalid-argument`, `unsupported`
   * (no WebAssembly SIMD here), and what the source throws.
   */
  static async create(
    config: InternVLConfig,
    source: WeightSource,
    { maxContext, prefillChunk = DEFAULT_PREFILL_CHUNK }: WasmModelOptions,
  ): Promise<WasmModel> {
    const { language, vision } = config;
    if (!(Number.isInteger(maxContext) && maxContext >= 1 && maxContext <= language.maxPositionEmbeddings)) {
      throw new SpeedqError(
        'invalid-argument',
        `maxContext must be an integer from 1 to the ${language.maxPositionEmbeddings} positions the model was ` +
          `trained for, got ${maxContext}.`,
      );
    }
    if (!(Number.isInteger(prefillChunk) && prefillChunk >= 1)) {
      throw new SpeedqError(
        'invalid-argument',
        `prefillChunk must be a positive integer, got ${prefillChunk}.`,
      );
    }
    const heap = new Heap();
    const kernels = await instantiateKernels(heap.memory).catch((cause: unknown) => {
      throw new SpeedqError(
        'unsupported',
        'WebAssembly with SIMD could not be started: this browser is too old for it, or the page’s ' +
          "Content-Security-Policy lacks 'wasm-unsafe-eval' in script-src. Use a browser with WebGPU or a current one.",
        { cause },
      );
    });
    const widest = Math.max(
      language.vocabSize,
      language.intermediateSize,
      vision.intermediateSize,
      maxContext,
      visionTokens(config),
    );
    const weights = await WeightStore.load(heap, source, widest);
    return new WasmModel(
      config,
      { heap, kernels, zeros: weights.zeros },
      weights,
      maxContext,
      Math.min(prefillChunk, maxContext),
    );
  }

  /** Tokens in the KV cache. */
  get length(): number {
    return this.#length;
  }

  get memoryBytes(): number {
    return this.memory.total;
  }

  /** Bytes by purpose; the cache counts in full, though what was never used of it takes no memory. */
  get memory(): MemoryUse {
    const weights = this.#weightBytes;
    const kvCache = this.#cache.bytes;
    const images = this.#imageBytes;
    const total = this.#machine.heap.memory.buffer.byteLength + images;
    return { weights, kvCache, images, activations: total - weights - kvCache - images, total };
  }

  /** Normalised pixels [tiles, 3, S, S] → features of one picture. */
  encodeImages(pixels: Float32Array, tiles: number, signal?: AbortSignal): Promise<HostImageFeatures> {
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
      const rows = new Float32Array(tiles * tokensPerTile * language.hiddenSize);
      const breath = new Breath();
      for (let tile = 0; tile < tiles; tile++) {
        const features = await this.encodeTile(
          pixels.subarray(tile * tileValues, (tile + 1) * tileValues),
          breath,
          signal,
        );
        copyRows(this.#machine.heap.f32, features, rows, tile * tokensPerTile);
        this.#machine.heap.release(this.#base);
      }
      signal?.throwIfAborted();
      this.#imageBytes += rows.byteLength;
      return new HostImageFeatures(rows, tiles * tokensPerTile, (bytes) => (this.#imageBytes -= bytes));
    });
  }

  /**
   * Appends ids to the cache; the images' rows replace the image-token ids in order. Returns the greedy next id,
   * which is not in the cache yet. After an abort or error the cache is as long as before.
   */
  prefill(ids: Uint32Array, images: readonly HostImageFeatures[], signal?: AbortSignal): Promise<number> {
    return this.exclusive(signal, async () => {
      this.checkIds(ids);
      const features = new FeatureRows(images, this.#config.language.hiddenSize);
      features.expect(this.imageTokens(ids));
      await this.extend(ids, features, signal);
      return argmax(this.#logits!);
    });
  }

  /** Greedy: appends the last returned id, then each chosen one but the last; returns the `count` chosen. */
  decode(count: number, signal?: AbortSignal): Promise<Uint32Array> {
    return this.exclusive(signal, async () => {
      if (!Number.isInteger(count) || count < 1) {
        throw new SpeedqError('invalid-argument', `decode needs a positive number of tokens, got ${count}.`);
      }
      const start = this.#length;
      const logits = this.currentLogits();
      const tokens = new Uint32Array(count);
      try {
        let token = argmax(logits);
        for (let i = 0; i < count; i++) {
          // What the model itself says is never a picture, the image token neither.
          await this.extend(Uint32Array.of(token), undefined, signal);
          tokens[i] = token = argmax(this.#logits!);
        }
        return tokens;
      } catch (error) {
        this.#length = start;
        this.#logits = undefined;
        throw error;
      }
    });
  }

  /** Logits [vocabulary] after the last prefilled or decoded token. */
  readLogits(): Promise<Float32Array> {
    return this.exclusive(undefined, () => Promise.resolve(this.currentLogits()));
  }

  /** Forgets the cache beyond `length` tokens. */
  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length || this.#busy) {
      throw new SpeedqError(
        'invalid-argument',
        this.#busy
          ? 'The cache cannot be truncated while a call is running; await it first.'
          : `Cannot truncate a cache of ${this.#length} tokens to ${length}.`,
      );
    }
    if (length < this.#length) this.#logits = undefined;
    this.#length = length;
  }

  destroy(): void {
    // The memory goes with the model: WebAssembly has no way to give it back.
    this.#destroyed = true;
  }

  private async encodeTile(
    pixels: Float32Array,
    breath: Breath,
    signal: AbortSignal | undefined,
  ): Promise<Activation> {
    const { heap } = this.#machine;
    const config = this.#config;
    heap.release(this.#base);
    const ops = new WasmOps(this.#machine, this.#weights);
    const size = config.vision.imageSize;
    const input = allocateRows(heap, 3 * size, size);
    const { f32 } = heap;
    for (let row = 0; row < input.rows; row++) {
      f32.set(pixels.subarray(row * size, (row + 1) * size), (input.data >>> 2) + row * input.stride);
    }
    let x = this.keep(visionEmbed(ops, config, input));
    for (let layer = 0; layer < config.vision.numLayers; layer++) {
      await breath.take(signal);
      x = this.keep(visionBlock(ops, config, layer, x));
    }
    return projector(ops, config, x);
  }

  /** Runs ids through the language side, chunk by chunk; leaves the logits of the last one. */
  private async extend(
    ids: Uint32Array,
    features: FeatureRows | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const start = this.#length;
    if (start + ids.length > this.maxContext) {
      throw new SpeedqError(
        'context-exceeded',
        `${start} + ${ids.length} tokens do not fit a context of ${this.maxContext}. ` +
          'Shorten the conversation, or load the model with a larger context.',
      );
    }
    this.#logits = undefined;
    const breath = new Breath();
    try {
      for (let at = 0; at < ids.length; at += this.#chunk) {
        const chunk = ids.subarray(at, at + this.#chunk);
        await this.runChunk(chunk, features, at + chunk.length === ids.length, breath, signal);
        this.#length += chunk.length;
      }
      signal?.throwIfAborted();
    } catch (error) {
      this.#length = start;
      this.#logits = undefined;
      throw error;
    }
  }

  private async runChunk(
    ids: Uint32Array,
    features: FeatureRows | undefined,
    isLast: boolean,
    breath: Breath,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { heap } = this.#machine;
    const config = this.#config;
    heap.release(this.#base);
    const past = this.#length;
    const rotation = new Rotation(past, ids.length, config.language);
    const rows = features?.take(this.imageTokens(ids)) ?? new Float32Array(0);
    const run = { ids, past, rotation, cache: this.#cache, features: rows };
    const ops = new WasmOps(this.#machine, this.#weights, run);
    // Ids and features come with the run; the interface wants handles for them.
    const placeholder = this.#states;
    const images = rows.length > 0 ? placeholder : undefined;
    let x = this.keep(languageEmbed(ops, config, placeholder, images));
    for (let layer = 0; layer < config.language.numLayers; layer++) {
      await breath.take(signal);
      x = this.keep(languageBlock(ops, config, layer, x));
    }
    if (!isLast) return;
    const { data } = languageHead(ops, config, x);
    this.#logits = heap.f32.slice(data >>> 2, (data >>> 2) + config.language.vocabSize);
    heap.release(this.#base);
  }

  /** Moves a layer's result out of the work space, which starts anew. */
  private keep({ data, rows, columns }: Activation): Activation {
    const { heap } = this.#machine;
    const stride = padded(columns);
    const target = this.#states.data;
    heap.f32.copyWithin(target >>> 2, data >>> 2, (data >>> 2) + rows * stride);
    heap.release(this.#base);
    return { data: target, rows, columns, stride };
  }

  private imageTokens(ids: Uint32Array): number {
    const { imageTokenId } = this.#config;
    return ids.reduce((count, id) => count + (id === imageTokenId ? 1 : 0), 0);
  }

  private currentLogits(): Float32Array {
    if (this.#logits !== undefined) return this.#logits;
    throw new SpeedqError(
      'invalid-argument',
      'There are no logits since the cache was created or truncated. Call prefill first.',
    );
  }

  private checkIds(ids: Uint32Array): void {
    const { vocabSize } = this.#config.language;
    const bad = ids.find((id) => id >= vocabSize);
    if (ids.length > 0 && bad === undefined) return;
    throw new SpeedqError(
      'invalid-argument',
      ids.length === 0
        ? 'prefill needs at least one token.'
        : `Token id ${bad} is outside the embedding table of ${vocabSize} rows. Do tokenizer and model belong together?`,
    );
  }

  /** Runs `work` alone. */
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
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
      this.#machine.heap.release(this.#base);
    }
  }
}

/** Hands the feature rows of several images to prefill runs, in order. */
class FeatureRows {
  readonly #images: readonly HostImageFeatures[];
  readonly #width: number;
  #used = 0;

  constructor(images: readonly HostImageFeatures[], width: number) {
    this.#images = images;
    this.#width = width;
  }

  /** @throws {SpeedqError} `invalid-argument` unless there are exactly `tokens` rows. */
  expect(tokens: number): void {
    const rows = this.#images.reduce((sum, image) => sum + image.tokens, 0);
    if (rows === tokens) return;
    throw new SpeedqError(
      'invalid-argument',
      `The prompt has ${tokens} image tokens, the images have ${rows} features. Give each image as many ` +
        'placeholders as its tiles have tokens.',
    );
  }

  /** The next `count` rows. */
  take(count: number): Float32Array {
    const taken = new Float32Array(count * this.#width);
    let [skip, filled] = [this.#used, 0];
    for (const { tokens, rows } of count > 0 ? this.#images : []) {
      const own = Math.min(tokens - skip, count - filled);
      if (own > 0) {
        taken.set(rows.subarray(skip * this.#width, (skip + own) * this.#width), filled * this.#width);
        filled += own;
      }
      skip = Math.max(0, skip - tokens);
    }
    this.#used += count;
    return taken;
  }
}

function copyRows(f32: Float32Array, x: Activation, target: Float32Array, firstRow: number): void {
  for (let row = 0; row < x.rows; row++) {
    const from = (x.data >>> 2) + row * x.stride;
    target.set(f32.subarray(from, from + x.columns), (firstRow + row) * x.columns);
  }
}

/** Index of the largest logit; of equal ones the first. */
function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

function visionTokens({ vision }: InternVLConfig): number {
  return 1 + (vision.imageSize / vision.patchSize) ** 2;
}
