import { SpeedqError } from '@speedq/format';
import type { MemoryUse } from '@speedq/kernels';
import type { ResponseConstraint } from './constraint/response-constraint.ts';
import type { TokenConstraint } from './constraint/token-constraint.ts';
import { contextExceeded, generate } from './generate.ts';
import type { FinishReason, GenerationModel } from './generate.ts';
import type { TokenLogProbs } from './log-probs.ts';
import { pictureIdentity, promptAfter, promptBefore, reusablePrefix } from './prompt.ts';
import type { ChatMessage, EncodedPrompt, Picture } from './prompt.ts';
import type { Sampling } from './sample.ts';
import { checkStopStrings, createStopFilter } from './stop-strings.ts';

/** A loaded model: what `WebGPUModel` offers. F is its handle for image features. */
export interface EngineModel<F extends ImageFeaturesHandle> extends GenerationModel<F> {
  readonly memoryBytes: number;
  /** The same by purpose, from engines that know. */
  readonly memory?: MemoryUse;
  /** pixels [tiles, 3, S, S] → features of one picture. */
  encodeImages(pixels: Float32Array, tiles: number, signal?: AbortSignal): Promise<F>;
  destroy(): void;
}

export interface ImageFeaturesHandle {
  destroy(): void;
}

/** What turns messages into ids and ids into text. */
export interface ChatCodec {
  /** The whole conversation; `awaitAnswer` ends it with the opening of the assistant's message. */
  encode(messages: readonly ChatMessage[], awaitAnswer: boolean): EncodedPrompt;
  /** Special tokens give nothing; bytes of unfinished characters are held back. */
  createDecoder(): { push(id: number): string; finish(): string };
  /** One token by itself; U+FFFD for bytes that are no whole character. */
  tokenText(id: number): string;
  /** Holds one answer to the constraint. @throws {SpeedqError} `unsupported`, `invalid-argument`. */
  constrain(constraint: ResponseConstraint): TokenConstraint;
  readonly stopTokens: ReadonlySet<number>;
}

export interface RespondOptions {
  readonly maxNewTokens?: number;
  readonly sampling?: Sampling;
  /** The answer ends before the first of these; no part of one is ever yielded. */
  readonly stop?: readonly string[];
  /** What the whole answer must be; one that `maxNewTokens` cuts short is only its start. */
  readonly responseConstraint?: ResponseConstraint;
  /** Called for each token before its text is yielded. */
  readonly logProbs?: { readonly count: number; readonly onToken: (token: TextLogProbs) => void };
  readonly signal?: AbortSignal;
  /** Called once at the end, also when stopped early. */
  readonly onStats?: (stats: ResponseStats) => void;
}

/** TokenLogProbs with the texts of the tokens. */
export interface TextLogProbs {
  readonly text: string;
  readonly logProb: number;
  readonly top: readonly { readonly text: string; readonly logProb: number }[];
}

export interface ResponseStats {
  readonly promptTokens: number;
  /** Of those, tokens that were in the KV cache already. */
  readonly reusedTokens: number;
  /** Tiles of the pictures that went through the vision encoder: those whose features were not kept. */
  readonly encodedTiles: number;
  readonly newTokens: number;
  /** Undefined when aborted or failed. */
  readonly finishReason: FinishReason | undefined;
  /** Until the first token, pictures included. */
  readonly prefillSeconds: number;
  /** From the first token to the last. */
  readonly decodeSeconds: number;
}

/**
 * Tiles of pictures last seen whose features stay on the GPU: a picture of most tiles and a few small ones. The
 * KV cache holds what a conversation has seen; features are for another one about the same picture.
 */
const KEPT_TILES = 16;

const EMPTY: EncodedPrompt = { ids: new Uint32Array(0), images: [] };

/** One model, its codec and its KV cache. Answers are given one after another. */
export class ChatEngine {
  private readonly model: EngineModel<ImageFeaturesHandle>;
  private readonly codec: ChatCodec;
  /** What the model's KV cache holds; shorter than it after a failure, never longer. */
  private cached: EncodedPrompt = EMPTY;
  private readonly features = new Map<
    unknown,
    { readonly tiles: number; readonly handle: ImageFeaturesHandle }
  >();
  private turn: Promise<void> = Promise.resolve();

  constructor(model: EngineModel<ImageFeaturesHandle>, codec: ChatCodec) {
    this.model = model;
    this.codec = codec;
  }

  get contextWindow(): number {
    return this.model.maxContext;
  }

  get memoryBytes(): number {
    return this.model.memoryBytes;
  }

  /** GPU bytes by purpose, now; undefined on engines without a GPU. */
  get memory(): MemoryUse | undefined {
    return this.model.memory;
  }

  encode(messages: readonly ChatMessage[], awaitAnswer: boolean): EncodedPrompt {
    return this.codec.encode(messages, awaitAnswer);
  }

  /** Yields the answer's text; waits for answers asked for earlier. */
  async *respond(prompt: EncodedPrompt, options: RespondOptions = {}): AsyncGenerator<string, void, void> {
    const before = this.turn;
    let finish!: () => void;
    this.turn = new Promise((resolve) => (finish = resolve));
    try {
      await before;
      yield* this.answer(prompt, options);
    } finally {
      finish();
    }
  }

  destroy(): void {
    for (const { handle } of this.features.values()) handle.destroy();
    this.features.clear();
    this.model.destroy();
  }

  private async *answer(prompt: EncodedPrompt, options: RespondOptions): AsyncGenerator<string, void, void> {
    const { maxNewTokens, sampling, stop = [], responseConstraint, logProbs, signal, onStats } = options;
    signal?.throwIfAborted();
    checkStopStrings(stop);
    const constraint = responseConstraint && this.codec.constrain(responseConstraint);
    if (prompt.ids.length >= this.contextWindow) {
      throw contextExceeded(prompt.ids.length, this.contextWindow);
    }
    const start = performance.now();
    const reused = reusablePrefix(this.cached, prompt);
    this.model.truncate(reused);
    this.cached = promptBefore(prompt, reused);

    const rest = promptAfter(prompt, reused);
    const answer: number[] = [];
    let first = start;
    let finishReason: FinishReason | undefined;
    let encodedTiles = 0;
    const decoder = this.codec.createDecoder();
    const filter = createStopFilter(stop);
    let tokens: AsyncGenerator<number, FinishReason, void> | undefined;
    try {
      const encode = async (picture: Picture): Promise<ImageFeaturesHandle> => {
        const known = this.features.get(pictureIdentity(picture));
        if (known === undefined) encodedTiles += picture.tiles;
        return known?.handle ?? (await this.model.encodeImages(picture.pixels, picture.tiles, signal));
      };
      // One picture after the other, so that the features of all of them need never exist at once.
      let at = 0;
      for (const { picture, start: imageStart, length } of rest.images.slice(0, -1)) {
        const features = await this.featuresOf(picture, encode);
        await this.model.prefill(rest.ids.subarray(at, imageStart + length), [features], signal);
        at = imageStart + length;
      }
      const last = rest.images.at(-1);
      const images = last ? [await this.featuresOf(last.picture, encode)] : [];
      tokens = generate(this.model, rest.ids.subarray(at), images, {
        maxNewTokens,
        sampling,
        history: prompt.ids,
        constraint,
        logProbs: logProbs && {
          count: logProbs.count,
          onToken: (token) => logProbs.onToken(this.withTexts(token)),
        },
        signal,
        stopTokens: this.codec.stopTokens,
      });
      while (finishReason === undefined) {
        const next = await tokens.next();
        if (answer.length === 0) first = performance.now();
        if (next.done) {
          finishReason = next.value;
          break;
        }
        answer.push(next.value);
        const text = filter.push(decoder.push(next.value));
        if (filter.stopped) finishReason = 'stop';
        if (text !== '') yield text;
      }
      const text = filter.push(decoder.finish()) + filter.finish();
      if (text !== '') yield text;
    } finally {
      // Whoever ends the loop early, a stop string or the caller: the cache must be put in order.
      await tokens?.return('stop');
      this.cached = promptBefore(
        { ids: concat(prompt.ids, answer), images: prompt.images },
        Math.min(this.model.length, prompt.ids.length + answer.length),
      );
      const end = performance.now();
      onStats?.({
        promptTokens: prompt.ids.length,
        reusedTokens: reused,
        encodedTiles,
        newTokens: answer.length,
        finishReason,
        prefillSeconds: ((answer.length > 0 ? first : end) - start) / 1000,
        decodeSeconds: answer.length > 0 ? (end - first) / 1000 : 0,
      });
    }
  }

  private withTexts({ id, logProb, top }: TokenLogProbs): TextLogProbs {
    const text = (token: number): string => this.codec.tokenText(token);
    return {
      text: text(id),
      logProb,
      top: top.map((token) => ({ text: text(token.id), logProb: token.logProb })),
    };
  }

  /** Keeps what `encode` gives for a later time, at the cost of what was not used for the longest time. */
  private async featuresOf(
    picture: Picture,
    encode: (picture: Picture) => Promise<ImageFeaturesHandle>,
  ): Promise<ImageFeaturesHandle> {
    const handle = await encode(picture);
    const identity = pictureIdentity(picture);
    // Last in insertion order: the first one is the one not used for the longest time.
    this.features.delete(identity);
    let tiles = picture.tiles;
    for (const kept of this.features.values()) tiles += kept.tiles;
    for (const [oldest, kept] of this.features) {
      if (tiles <= KEPT_TILES) break;
      tiles -= kept.tiles;
      kept.handle.destroy();
      this.features.delete(oldest);
    }
    this.features.set(identity, { tiles: picture.tiles, handle });
    return handle;
  }
}

/** Rejects once the device is lost, with what a person can do about it. */
export async function deviceLost(device: GPUDevice): Promise<never> {
  const { message, reason } = await device.lost;
  throw new SpeedqError(
    'device-lost',
    `The graphics device was lost (${message || reason}): another program may have used up its memory, or the ` +
      'driver was reset. Reload the page to go on.',
  );
}

function concat(ids: Uint32Array, more: readonly number[]): Uint32Array {
  const all = new Uint32Array(ids.length + more.length);
  all.set(ids);
  all.set(more, ids.length);
  return all;
}
