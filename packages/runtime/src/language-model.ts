import { SpeedqError } from '@speedq/format';
import type { MemoryBudget, MemoryUse } from '@speedq/kernels';
import { toWireMessages } from './content.ts';
import { checkConstraint } from './constraint/response-constraint.ts';
import type { ResponseConstraint } from './constraint/response-constraint.ts';
import type { ContextOverflow } from './conversation.ts';
import type { TextLogProbs } from './engine.ts';
import { EngineClient } from './engine-client.ts';
import { sharedEngine } from './engine-registry.ts';
import type { EngineLease } from './engine-registry.ts';
import type { LanguageModelMessage, LanguageModelPrompt } from './messages.ts';
import type { FinishReason } from './generate.ts';
import { isKept } from './loading/model-files.ts';
import { opfsStorage } from './loading/opfs-storage.ts';
import { requestPersistence } from './loading/room.ts';
import { modelOf } from './model-option.ts';
import type { ModelOption } from './model-option.ts';
import type {
  AdapterDescription,
  EngineInfo,
  ProgressMessage,
  PromptRequest,
  SessionState,
  SessionUsage,
} from './protocol.ts';
import { checkSampling } from './sample.ts';
import { checkStopStrings } from './stop-strings.ts';

export type Availability = 'unavailable' | 'downloadable' | 'downloading' | 'available';

/** What tells one model from another. Engines with equal options are shared by their sessions. */
export interface LanguageModelOptions extends ModelOption {
  /** Room for a conversation in tokens; default: the model's own, at most 4096. */
  readonly contextWindow?: number;
  /**
   * GPU memory that the model may come to take, in bytes; a larger one is refused before its weights are fetched
   * (`out-of-memory`). Default: what the device gives.
   */
  readonly maxMemoryBytes?: number;
  /**
   * Makes the engine's worker, for pages whose bundler or Trusted Types want to see to it themselves:
   * its script is '@speedq/runtime/worker', a module.
   */
  readonly createWorker?: () => Worker;
}

export interface LanguageModelCreateOptions extends LanguageModelOptions {
  readonly signal?: AbortSignal;
  /** As in the Prompt API: gets an EventTarget that fires `downloadprogress` with `loaded` from 0 to 1. */
  readonly monitor?: (monitor: EventTarget) => void;
  readonly initialPrompts?: readonly LanguageModelMessage[];
  /** Absent, or 0: the most probable token, always. 1 where only topK, topP or minP is given. */
  readonly temperature?: number;
  /** Only the k most probable tokens. */
  readonly topK?: number;
  /** Of those, the smallest set whose probability reaches p. */
  readonly topP?: number;
  /** Of those, the ones at least this share as probable as the most probable. */
  readonly minP?: number;
  /** Above 1: words of the conversation so far become less probable. */
  readonly repetitionPenalty?: number;
  /** What happens when the conversation outgrows the context; default: the error `context-exceeded`. */
  readonly contextOverflow?: ContextOverflow;
}

export interface LanguageModelPromptOptions {
  readonly signal?: AbortSignal;
  readonly maxNewTokens?: number;
  /** An integer: the same seed gives the same answer to the same conversation. */
  readonly seed?: number;
  /** The answer ends before the first of these, which is not part of it. */
  readonly stop?: string | readonly string[];
  /** A RegExp that the whole answer matches, or a JSON schema that it is valid by (docs/constraints.md). */
  readonly responseConstraint?: ResponseConstraint;
  /** The constraint is never made part of the prompt, whatever this says: describe what you expect. */
  readonly omitResponseConstraintInput?: boolean;
  /** Asks for each token's log-probability, and those of the `top` most probable ones at its place. */
  readonly logProbs?: { readonly top?: number; readonly onToken: (token: TextLogProbs) => void };
}

export interface SessionInfo extends EngineInfo {
  /** Decoding speed of the last answer; undefined before the first one of at least two tokens. */
  readonly tokensPerSecond: number | undefined;
  /** From the question to the first token of the last answer, pictures included. */
  readonly firstTokenSeconds: number | undefined;
  /** Why the last answer ended: by itself or a stop string, or at `maxNewTokens` or the context's end. */
  readonly finishReason: FinishReason | undefined;
}

interface Internals {
  readonly lease: EngineLease;
  readonly info: EngineInfo;
  readonly session: SessionState;
  readonly options: PromptRequest;
}

/**
 * A session with a packed model, in the shape of the browsers' Prompt API. Sessions of one model share
 * its worker and its weights.
 *
 * Errors are SpeedqErrors with a stable `code`, or the abort signal's reason.
 */
export class LanguageModel extends EventTarget {
  private readonly internals: Internals;
  private usage: number;
  private dropped: number;
  private last: Pick<SessionInfo, 'tokensPerSecond' | 'firstTokenSeconds' | 'finishReason'> | undefined;
  private overflowHandler: ((event: Event) => void) | null = null;
  private readonly closing = new AbortController();

  private constructor(internals: Internals) {
    super();
    this.internals = internals;
    this.usage = internals.session.contextUsage;
    this.dropped = internals.session.droppedMessages;
  }

  /** Whether `create` would work, and whether it would download. Never downloads. */
  static async availability(options: LanguageModelOptions): Promise<Availability> {
    if (!('gpu' in navigator) || !(await navigator.gpu.requestAdapter())) return 'unavailable';
    const { url, files } = modelOf(options);
    if (files) return 'available';
    const storage = await opfsStorage(url);
    return storage && (await isKept(storage)) ? 'available' : 'downloadable';
  }

  /**
   * @throws {SpeedqError} `network`, `not-a-model`, `invalid-manifest`, `checksum-mismatch`,
   * `file-truncated`, `no-webgpu`, `out-of-memory`, `context-exceeded`, `invalid-argument`.
   */
  static async create(options: LanguageModelCreateOptions): Promise<LanguageModel> {
    const { signal, initialPrompts = [], contextOverflow } = options;
    signal?.throwIfAborted();
    const sampling = samplingOf(options);
    if (sampling) checkSampling(sampling);
    const messages = await toWireMessages(initialPrompts);
    const monitor = new EventTarget();
    options.monitor?.(monitor);
    // The engine's worker cannot ask; no answer, which a person may have to give, is waited for.
    if (options.storage !== 'memory' && typeof options.model === 'string') void requestPersistence();

    const lease = sharedEngine(
      {
        ...modelOf(options),
        contextWindow: options.contextWindow,
        maxMemoryBytes: options.maxMemoryBytes,
      },
      () => new EngineClient((options.createWorker ?? defaultWorker)()),
    );
    const stopWatching = lease.onProgress((progress) => {
      monitor.dispatchEvent(new DownloadProgressEvent(progress));
    });
    try {
      const info = await abortable(lease.opened, signal);
      const session = await lease.client.request(
        (remote, request) => remote.createSession(request, messages, { contextOverflow }),
        signal,
      );
      return new LanguageModel({ lease, info, session, options: sampling ?? {} });
    } catch (error) {
      lease.release();
      throw error;
    } finally {
      stopWatching();
    }
  }

  /** Tokens of the conversation so far. */
  get contextUsage(): number {
    return this.usage;
  }

  /** Tokens a conversation may have, the next answer included. */
  get contextWindow(): number {
    return this.internals.info.contextWindow;
  }

  /**
   * Called, like listeners of `contextoverflow`, after an answer or append for which the oldest turns were
   * forgotten; see `contextOverflow`.
   */
  get oncontextoverflow(): ((event: Event) => void) | null {
    return this.overflowHandler;
  }

  set oncontextoverflow(handler: ((event: Event) => void) | null) {
    if (this.overflowHandler) this.removeEventListener('contextoverflow', this.overflowHandler);
    this.overflowHandler = handler;
    if (handler) this.addEventListener('contextoverflow', handler);
  }

  get info(): SessionInfo {
    return {
      ...this.internals.info,
      tokensPerSecond: this.last?.tokensPerSecond,
      firstTokenSeconds: this.last?.firstTokenSeconds,
      finishReason: this.last?.finishReason,
    };
  }

  /** Resolves to the whole answer. When aborted or failed, the conversation is what it was before. */
  async prompt(input: LanguageModelPrompt, options: LanguageModelPromptOptions = {}): Promise<string> {
    let answer = '';
    await this.answer(input, options, (text) => (answer += text));
    return answer;
  }

  /** The answer as it comes. Cancelling the stream stops it. */
  promptStreaming(
    input: LanguageModelPrompt,
    options: LanguageModelPromptOptions = {},
  ): ReadableStream<string> {
    const cancelled = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, cancelled.signal]) : cancelled.signal;
    return new ReadableStream<string>({
      start: (controller) => {
        this.answer(input, { ...options, signal }, (text) => controller.enqueue(text)).then(
          () => controller.close(),
          (error: unknown) => {
            // Whoever cancelled the stream does not read its error.
            if (!cancelled.signal.aborted) controller.error(error);
          },
        );
      },
      cancel: (reason) => cancelled.abort(reason),
    });
  }

  /** Adds messages to the conversation without asking for an answer. */
  async append(input: LanguageModelPrompt, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const messages = await toWireMessages(input);
    this.update(await this.request((remote, request) => remote.append(request, this.id, messages), options));
  }

  /** Tokens that `input` would add to the conversation. */
  async measureContextUsage(
    input: LanguageModelPrompt,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<number> {
    const messages = await toWireMessages(input);
    return await this.request((remote, request) => remote.measure(request, this.id, messages), options);
  }

  /** GPU bytes that the model takes now, by purpose; `info.memoryBudget` has what it may come to. */
  async measureMemory(options: { readonly signal?: AbortSignal } = {}): Promise<MemoryUse> {
    return await this.request((remote) => remote.memory(), options);
  }

  /** A session of its own with the same conversation. */
  async clone(options: { readonly signal?: AbortSignal } = {}): Promise<LanguageModel> {
    const session = await this.request((remote) => remote.cloneSession(this.id), options);
    return new LanguageModel({ ...this.internals, session, lease: this.internals.lease.share() });
  }

  /** Frees the session, and the model with its last session. What is pending rejects. */
  destroy(): void {
    if (this.closing.signal.aborted) return;
    this.closing.abort(
      new SpeedqError('aborted', 'The session was destroyed. Create a new one to ask more questions.'),
    );
    const { lease } = this.internals;
    lease.client.request((remote) => remote.destroySession(this.id)).catch(() => {});
    lease.release();
  }

  private get id(): number {
    return this.internals.session.id;
  }

  private async answer(
    input: LanguageModelPrompt,
    { signal, maxNewTokens, seed, stop, responseConstraint, logProbs }: LanguageModelPromptOptions,
    onText: (text: string) => void,
  ): Promise<void> {
    const stops = typeof stop === 'string' ? [stop] : (stop ?? []);
    checkStopStrings(stops);
    const messages = await toWireMessages(input);
    const { client } = this.internals.lease;
    const request: PromptRequest = {
      ...this.internals.options,
      maxNewTokens,
      seed,
      stop: stops,
      topLogProbs: logProbs && (logProbs.top ?? 0),
      responseConstraint: responseConstraint && checkConstraint(responseConstraint),
    };
    const { stats, ...usage } = await client.prompt(
      this.id,
      messages,
      request,
      onText,
      this.withClosing(signal),
      logProbs?.onToken,
    );
    const { newTokens, decodeSeconds, prefillSeconds, finishReason } = stats;
    this.last = {
      tokensPerSecond: newTokens > 1 && decodeSeconds > 0 ? (newTokens - 1) / decodeSeconds : undefined,
      firstTokenSeconds: prefillSeconds,
      finishReason,
    };
    this.update(usage);
  }

  private update({ contextUsage, droppedMessages }: SessionUsage): void {
    this.usage = contextUsage;
    if (droppedMessages === this.dropped) return;
    this.dropped = droppedMessages;
    this.dispatchEvent(new Event('contextoverflow'));
  }

  private request<T>(
    call: Parameters<typeof EngineClient.prototype.request<T>>[0],
    { signal }: { readonly signal?: AbortSignal },
  ): Promise<T> {
    return this.internals.lease.client.request(call, this.withClosing(signal));
  }

  private withClosing(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([signal, this.closing.signal]) : this.closing.signal;
  }
}

/**
 * `downloadprogress` of the Prompt API (`loaded` and `total` as fractions of 1), with what a page needs to
 * say more.
 */
export class DownloadProgressEvent extends Event {
  readonly loaded: number;
  readonly total = 1;
  /** Size of what is loaded. */
  readonly totalBytes: number;
  /** A first visit downloads, later ones read what was kept. */
  readonly source: ProgressMessage['source'];

  readonly adapter: AdapterDescription;
  /** What the model will take of the GPU's memory; undefined until that is known, before the first shard. */
  readonly memoryBudget: MemoryBudget | undefined;

  constructor({ loaded, total, source, adapter, memoryBudget }: ProgressMessage) {
    super('downloadprogress');
    this.loaded = total > 0 ? loaded / total : 0;
    this.totalBytes = total;
    this.source = source;
    this.adapter = adapter;
    this.memoryBudget = memoryBudget;
  }
}

function samplingOf({
  temperature,
  topK,
  topP,
  minP,
  repetitionPenalty,
}: LanguageModelCreateOptions): (Required<Pick<PromptRequest, 'temperature'>> & PromptRequest) | undefined {
  const given = [temperature, topK, topP, minP].some((value) => value !== undefined);
  if (!given && repetitionPenalty === undefined) return undefined;
  // A penalty alone leaves decoding greedy.
  return { temperature: temperature ?? (given ? 1 : 0), topK, topP, minP, repetitionPenalty };
}

function defaultWorker(): Worker {
  return new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'speedq' });
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
