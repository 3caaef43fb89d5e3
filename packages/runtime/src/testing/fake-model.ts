import { createConstraints } from '../constraint/response-constraint.ts';
import type { ChatCodec, EngineModel, ImageFeaturesHandle } from '../engine.ts';
import type { ChatMessage, EncodedPrompt, PlacedPicture } from '../prompt.ts';

/** Features of the fake are the picture's first pixel value, which stands for its content. */
export interface FakeFeatures extends ImageFeaturesHandle {
  readonly value: number;
  readonly tokens: number;
}

const IMAGE_TOKEN = 3;
export const STOP = 2;
export const TOKENS_PER_TILE = 4;

/**
 * A model whose next token depends on every token and picture in its cache, so that a cache that holds
 * anything else than it should changes the answer. It counts what it was given to do.
 */
export class FakeModel implements EngineModel<FakeFeatures> {
  readonly maxContext: number;
  readonly memoryBytes = 1;
  readonly vocabulary = 64;
  /** One number per cached token: the id, or the picture's value at a placeholder. */
  cache: number[] = [];
  prefilled = 0;
  decodes: number[] = [];
  encoded = 0;
  live = 0;
  mostLive = 0;
  /** Token at which the answer of a prompt ends. */
  private readonly answerLength: number;
  private promptLength = 0;

  constructor({ maxContext = 1000, answerLength = 5 } = {}) {
    this.maxContext = maxContext;
    this.answerLength = answerLength;
  }

  get length(): number {
    return this.cache.length;
  }

  encodeImages(pixels: Float32Array, tiles: number): Promise<FakeFeatures> {
    this.encoded++;
    this.live++;
    this.mostLive = Math.max(this.mostLive, this.live);
    return Promise.resolve({
      value: pixels[0],
      tokens: tiles * TOKENS_PER_TILE,
      destroy: () => void this.live--,
    });
  }

  prefill(ids: Uint32Array, images: readonly FakeFeatures[]): Promise<number> {
    const values = images.flatMap(({ value, tokens }) => Array.from({ length: tokens }, () => value));
    for (const id of ids) this.append(id === IMAGE_TOKEN ? values.shift()! : id);
    if (values.length > 0) throw new Error('More image features than placeholders');
    this.prefilled += ids.length;
    if (ids.length > 1) this.promptLength = this.cache.length;
    return Promise.resolve(this.next());
  }

  decode(count: number): Promise<Uint32Array> {
    this.decodes.push(count);
    return Promise.resolve(
      Uint32Array.from({ length: count }, () => {
        this.append(this.next());
        return this.next();
      }),
    );
  }

  readLogits(): Promise<Float32Array> {
    const logits = new Float32Array(this.vocabulary);
    logits[this.next()] = 50;
    return Promise.resolve(logits);
  }

  truncate(length: number): void {
    if (length > this.cache.length) throw new Error('Cannot truncate to more than there is');
    this.cache.length = length;
  }

  destroy(): void {
    this.cache = [];
  }

  private append(value: number): void {
    if (this.cache.length === this.maxContext) throw new Error('The cache is full');
    this.cache.push(value);
  }

  private next(): number {
    if (this.cache.length - this.promptLength >= this.answerLength) return STOP;
    let state = 7;
    for (const value of this.cache) state = (state * 31 + value * 17 + 11) % 65_521;
    return 16 + (state % (this.vocabulary - 16));
  }
}

/** One token a character; `a` is 16, the vocabulary wraps. Messages are framed like ChatML. */
export const fakeCodec: ChatCodec = {
  stopTokens: new Set([STOP]),
  encode(messages: readonly ChatMessage[], awaitAnswer: boolean): EncodedPrompt {
    const ids: number[] = [];
    const images: PlacedPicture[] = [];
    for (const [index, { role, parts, prefix }] of messages.entries()) {
      ids.push(1, role === 'assistant' ? 5 : 4);
      for (const part of parts) {
        if (part.type === 'text') {
          for (const char of part.text) ids.push(char.charCodeAt(0) - 'A'.charCodeAt(0) + 16);
          continue;
        }
        for (const picture of part.type === 'image' ? [part.picture] : part.frames) {
          const length = picture.tiles * TOKENS_PER_TILE;
          images.push({ picture, start: ids.length, length });
          for (let i = 0; i < length; i++) ids.push(IMAGE_TOKEN);
        }
      }
      if (awaitAnswer && prefix && index === messages.length - 1) {
        return { ids: Uint32Array.from(ids), images };
      }
      ids.push(STOP);
    }
    if (awaitAnswer) ids.push(1, 5);
    return { ids: Uint32Array.from(ids), images };
  },
  createDecoder: () => ({
    push: (id) => String.fromCharCode(id - 16 + 'A'.charCodeAt(0)),
    finish: () => '',
  }),
  constrain: createConstraints({
    vocabSize: 64,
    isSpecial: (id) => id < 16,
    bytesOf: (id) => Uint8Array.of(id - 16 + 'A'.charCodeAt(0)),
  }),
  tokenText: (id) => String.fromCharCode(id - 16 + 'A'.charCodeAt(0)),
};
