import { SpeedqError } from '@speedq/format';
import type { ErrorCode } from '@speedq/format';
import type { MemoryUse } from '@speedq/kernels';
import type { ResponseConstraint } from './constraint/response-constraint.ts';
import type { TokenConstraint } from './constraint/token-constraint.ts';
import { contextExceeded, DEFAULT_MAX_NEW_TOKENS, generate } from './generate.ts';
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

type TokenOptions = Pick<RespondOptions, 'maxNewTokens' | 'sampling' | 'logProbs' | 'signal'> & {
  readonly constraint: TokenConstraint | undefined;
};

/** What an answer took, counted. */
interface Work {
  reusedTokens: number;
  encodedTiles: number;
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

/** How often in a row, without a token in between, an answer goes on after the device was lost. */
const MAX_REVIVALS = 3;

const EMPTY: EncodedPrompt = { ids: new Uint32Array(0), images: [] };

export interface ChatEngineOptions {
  /**
   * Makes the model anew on another device. With it, an answer goes on where it was when the device is lost: the
   * cache is computed again from the kept tokens and pictures.
   */
  readonly revive?: () => Promise<EngineModel<ImageFeaturesHandle>>;
}

/** One model, its codec and its KV cache. Answers are given one after another. */
export class ChatEngine {
  private model: EngineModel<ImageFeaturesHandle>;
  private readonly revive: ChatEngineOptions['revive'];
  private isLost = false;
  private readonly codec: ChatCodec;
  /** What the model's KV cache holds; shorter than it after a failure, never longer. */
  private cached: EncodedPrompt = EMPTY;
  private readonly features = new Map<
    unknown,
    { readonly tiles: number; readonly handle: ImageFeaturesHandle }
  >();
  private turn: Promise<void> = Promise.resolve();

  constructor(model: EngineModel<ImageFeaturesHandle>, codec: ChatCodec, { revive }: ChatEngineOptions = {}) {
    this.model = model;
    this.codec = codec;
    this.revive = revive;
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
    const { maxNewTokens, stop = [], responseConstraint, signal, onStats } = options;
    signal?.throwIfAborted();
    checkStopStrings(stop);
    const constraint = responseConstraint && this.codec.constrain(responseConstraint);
    if (prompt.ids.length >= this.contextWindow) {
      throw contextExceeded(prompt.ids.length, this.contextWindow);
    }
    const start = performance.now();
    const answer: number[] = [];
    const work: Work = { reusedTokens: 0, encodedTiles: 0 };
    let first = start;
    let finishReason: FinishReason | undefined;
    const decoder = this.codec.createDecoder();
    const filter = createStopFilter(stop);
    let tokens: AsyncGenerator<number, FinishReason, void> | undefined;
    let revivals = 0;
    let window = this.contextWindow;
    try {
      while (finishReason === undefined) {
        const before = answer.length;
        try {
          tokens = this.tokens(prompt, answer, { ...options, constraint, maxNewTokens }, work);
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
        } catch (error) {
          if (this.revive && hasCode(error, 'device-lost')) {
            this.isLost = true;
            revivals = answer.length > before ? 1 : revivals + 1;
            if (revivals > MAX_REVIVALS) throw error;
          } else if (hasCode(error, 'out-of-memory') && answer.length > 0 && this.contextWindow < window) {
            // The cache cannot grow: the answer goes on in the room there is, and ends with it.
            window = this.contextWindow;
          } else throw error;
        }
      }
      const text = filter.push(decoder.finish()) + filter.finish();
      if (text !== '') yield text;
    } finally {
      // Whoever ends the loop early, a stop string or the caller: the cache must be put in order.
      await tokens?.return('stop');
      this.cached = promptBefore(
        withAnswer(prompt, answer),
        Math.min(this.model.length, prompt.ids.length + answer.length),
      );
      const end = performance.now();
      onStats?.({
        promptTokens: prompt.ids.length,
        ...work,
        newTokens: answer.length,
        finishReason,
        prefillSeconds: ((answer.length > 0 ? first : end) - start) / 1000,
        decodeSeconds: answer.length > 0 ? (end - first) / 1000 : 0,
      });
    }
  }

  /** The tokens that follow a prompt and what of its answer is there already. */
  private async *tokens(
    prompt: EncodedPrompt,
    answered: readonly number[],
    { maxNewTokens = DEFAULT_MAX_NEW_TOKENS, sampling, constraint, logProbs, signal }: TokenOptions,
    work: Work,
  ): AsyncGenerator<number, FinishReason, void> {
    if (this.isLost) await this.renew();
    const whole = withAnswer(prompt, answered);
    if (answered.length > 0 && whole.ids.length >= this.contextWindow) return 'length';
    const reused = reusablePrefix(this.cached, whole);
    if (answered.length === 0) work.reusedTokens = reused;
    this.model.truncate(reused);
    this.cached = promptBefore(whole, reused);
    const rest = promptAfter(whole, reused);
    const encode = async (picture: Picture): Promise<ImageFeaturesHandle> => {
      const known = this.features.get(pictureIdentity(picture));
      if (known === undefined) work.encodedTiles += picture.tiles;
      return known?.handle ?? (await this.model.encodeImages(picture.pixels, picture.tiles, signal));
    };
    // One picture after the other, so that the features of all of them need never exist at once.
    let at = 0;
    for (const { picture, start, length } of rest.images.slice(0, -1)) {
      const features = await this.featuresOf(picture, encode);
      await this.model.prefill(rest.ids.subarray(at, start + length), [features], signal);
      at = start + length;
    }
    const last = rest.images.at(-1);
    const images = last ? [await this.featuresOf(last.picture, encode)] : [];
    return yield* generate(this.model, rest.ids.subarray(at), images, {
      maxNewTokens: maxNewTokens - answered.length,
      sampling,
      history: whole.ids,
      constraint,
      logProbs: logProbs && {
        count: logProbs.count,
        onToken: (token) => logProbs.onToken(this.withTexts(token)),
      },
      signal,
      stopTokens: this.codec.stopTokens,
    });
  }

  /** A new device: nothing of what the old one held is left. */
  private async renew(): Promise<void> {
    this.features.clear();
    this.cached = EMPTY;
    this.model.destroy();
    this.model = await this.revive!();
    this.isLost = false;
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
      'driver was reset. Ask again: the model is loaded anew.',
  );
}

function withAnswer({ ids, images }: EncodedPrompt, answer: readonly number[]): EncodedPrompt {
  return answer.length === 0 ? { ids, images } : { ids: concat(ids, answer), images };
}

function hasCode(error: unknown, code: ErrorCode): boolean {
  return error instanceof SpeedqError && error.code === code;
}

function concat(ids: Uint32Array, more: readonly number[]): Uint32Array {
  const all = new Uint32Array(ids.length + more.length);
  all.set(ids);
  all.set(more, ids.length);
  return all;
}
