import { SpeedqError } from '@speedq/format';
import type { MemoryUse } from '@speedq/kernels';
import { browserPlatform } from './browser-platform.ts';
import { toWireMessages } from './content.ts';
import type { PromptContext } from './content.ts';
import { checkConstraint } from './constraint/response-constraint.ts';
import { CreateMonitor, EventHandlers, ProgressReporter } from './create-monitor.ts';
import type { EventHandler } from './create-monitor.ts';
import { EngineClient } from './engine-client.ts';
import { engineState, sharedEngine } from './engine-registry.ts';
import type { EngineLease } from './engine-registry.ts';
import { checkExpectations, expectedTypes } from './expectations.ts';
import type {
  Availability,
  LanguageModelAppendOptions,
  LanguageModelCloneOptions,
  LanguageModelCreateOptions,
  LanguageModelOptions,
  LanguageModelPromptOptions,
  SessionInfo,
} from './language-model-options.ts';
import type { LanguageModelMessageType, LanguageModelPrompt } from './messages.ts';
import type { LanguageModelPlatform } from './platform.ts';
import { promptError, toPromptError, typeError } from './prompt-error.ts';
import type { EngineInfo, PromptRequest, SessionState, SessionUsage } from './protocol.ts';
import { chooseSampling } from './sampling-mode.ts';
import type { ChosenSampling, SamplingMode } from './sampling-mode.ts';
import { checkStopStrings } from './stop-strings.ts';

interface Internals {
  readonly lease: EngineLease;
  readonly info: EngineInfo;
  readonly session: SessionState;
  readonly chosen: ChosenSampling;
  readonly expectedTypes: ReadonlySet<LanguageModelMessageType>;
  readonly hasMessages: boolean;
}

/**
 * A session with a packed model, in the shape of the browsers' Prompt API. Sessions of one model share
 * its worker and its weights.
 *
 * Methods reject with the errors that the Prompt API names (TypeError, DOMException), each with our stable
 * `code` (see `LanguageModelError`), or with the abort signal's reason.
 */
export class LanguageModel extends EventTarget {
  /** Where this class runs; the one of '@speedq/runtime/node' has another. */
  protected static readonly platform: LanguageModelPlatform = browserPlatform;

  private readonly internals: Internals;
  private usage: number;
  private window: number;
  private dropped: number;
  private hasMessages: boolean;
  private last: Pick<SessionInfo, 'tokensPerSecond' | 'firstTokenSeconds' | 'finishReason'> | undefined;
  private readonly handlers = new EventHandlers(this);
  private readonly closing = new AbortController();

  protected constructor(internals: Internals) {
    super();
    this.internals = internals;
    this.usage = internals.session.contextUsage;
    this.window = internals.session.contextWindow;
    this.dropped = internals.session.droppedMessages;
    this.hasMessages = internals.hasMessages;
  }

  /**
   * Whether `create` would work, and whether it would download. Never downloads.
   * @throws TypeError; RangeError for a language that is no BCP 47 tag.
   */
  static async availability(options: LanguageModelOptions): Promise<Availability> {
    const { platform } = this;
    return await asPromptError('UnknownError', async () => {
      const supported = checkExpectations(options);
      const model = platform.modelOf(options);
      if (!supported) return 'unavailable';
      const state = engineState(model.url);
      if (state === 'open') return 'available';
      const availability = await platform.availability({ ...model, engine: options.engine });
      return availability === 'downloadable' && state === 'opening' ? 'downloading' : availability;
    });
  }

  /**
   * @throws TypeError `invalid-argument`; NotSupportedError `no-webgpu`, `unsupported`; NetworkError `network`;
   * QuotaExceededError `context-exceeded`; OperationError for what is wrong with the model's files
   * (`not-a-model`, `invalid-manifest`, `checksum-mismatch`, `file-truncated`, …) or memory (`out-of-memory`).
   */
  static async create(options: LanguageModelCreateOptions): Promise<LanguageModel> {
    return await asPromptError('OperationError', () => this.open(options));
  }

  private static async open(options: LanguageModelCreateOptions): Promise<LanguageModel> {
    const { signal, initialPrompts = [], contextOverflow = 'drop-oldest' } = options;
    const supported = checkExpectations(options);
    const chosen = chooseSampling(options);
    const model = this.platform.modelOf(options);
    const expected = expectedTypes(options);
    const messages =
      initialPrompts.length > 0
        ? await toWireMessages(initialPrompts, { expectedTypes: expected, hasMessages: false })
        : [];
    signal?.throwIfAborted();
    const monitor = new CreateMonitor();
    options.monitor?.(monitor);
    if (!supported) {
      throw new SpeedqError(
        'unsupported',
        'The models of this library take text and pictures, answer in text and call no tools: ask for no more in ' +
          'expectedInputs, expectedOutputs and tools.',
      );
    }
    const progress = new ProgressReporter(monitor);
    progress.begin();
    if (options.storage !== 'memory' && typeof options.model === 'string') this.platform.willKeep?.();
    const lease = sharedEngine(
      {
        ...model,
        fetch: options.fetch,
        contextWindow: options.contextWindow,
        maxMemoryBytes: options.maxMemoryBytes,
        keyValueFormat: options.keyValueFormat,
        engine: options.engine,
      },
      () => new EngineClient(options.createWorker?.() ?? this.platform.startEngine()),
    );
    const stopWatching = lease.onProgress((message) => progress.report(message));
    try {
      const info = await abortable(lease.opened, signal);
      progress.finish();
      const session = await lease.client.request(
        (remote, request) => remote.createSession(request, messages, { contextOverflow }),
        signal,
      );
      const hasMessages = messages.length > 0;
      const created = new this({ lease, info, session, chosen, expectedTypes: expected, hasMessages });
      signal?.addEventListener('abort', () => created.close(signal.reason), {
        signal: created.closing.signal,
      });
      return created;
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
    return this.window;
  }

  /** Undefined where numbers were given to `create` instead. */
  get samplingMode(): SamplingMode | undefined {
    return this.internals.chosen.mode;
  }

  /**
   * Called, like listeners of `contextoverflow`, after an answer or append for which the oldest turns were
   * forgotten; see `contextOverflow`.
   */
  get oncontextoverflow(): EventHandler {
    return this.handlers.get('contextoverflow');
  }

  set oncontextoverflow(handler: EventHandler) {
    this.handlers.set('contextoverflow', handler);
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
  async append(input: LanguageModelPrompt, options: LanguageModelAppendOptions = {}): Promise<void> {
    await this.guard(async () => {
      const messages = await toWireMessages(input, this.promptContext());
      this.update(
        await this.request((remote, request) => remote.append(request, this.id, messages), options),
      );
    });
  }

  /** Tokens that `input` would add to the conversation. */
  async measureContextUsage(
    input: LanguageModelPrompt,
    options: LanguageModelPromptOptions = {},
  ): Promise<number> {
    return await this.guard(async () => {
      if (options.omitResponseConstraintInput && options.responseConstraint === undefined) {
        throw typeError(
          'omitResponseConstraintInput says something about a responseConstraint: give one, or neither.',
        );
      }
      const messages = await toWireMessages(input, { ...this.promptContext(), hasMessages: false });
      return await this.request((remote, request) => remote.measure(request, this.id, messages), options);
    });
  }

  /** GPU bytes that the model takes now, by purpose; `info.memoryBudget` has what it may come to. */
  async measureMemory(options: LanguageModelAppendOptions = {}): Promise<MemoryUse> {
    return await this.guard(() => this.request((remote) => remote.memory(), options));
  }

  /** A session of its own with the same conversation. */
  async clone(options: LanguageModelCloneOptions = {}): Promise<LanguageModel> {
    return await asPromptError('OperationError', async () => {
      const session = await this.request((remote) => remote.cloneSession(this.id), options);
      const { internals, hasMessages } = this;
      const Class = this.constructor as typeof LanguageModel;
      return new Class({ ...internals, session, hasMessages, lease: internals.lease.share() });
    });
  }

  /** Frees the session, and the model with its last session. What is pending rejects with an AbortError. */
  destroy(): void {
    this.close(
      promptError(
        'AbortError',
        'aborted',
        'The session was destroyed. Create a new one to ask more questions.',
      ),
    );
  }

  private close(reason: unknown): void {
    if (this.closing.signal.aborted) return;
    this.closing.abort(reason);
    const { lease } = this.internals;
    lease.client.request((remote) => remote.destroySession(this.id)).catch(() => {});
    lease.release();
  }

  private get id(): number {
    return this.internals.session.id;
  }

  private async answer(
    input: LanguageModelPrompt,
    options: LanguageModelPromptOptions,
    onText: (text: string) => void,
  ): Promise<void> {
    const { signal, maxNewTokens, seed, stop, responseConstraint, logProbs, onUsage } = options;
    await this.guard(async () => {
      const stops = typeof stop === 'string' ? [stop] : (stop ?? []);
      checkStopStrings(stops);
      const request: PromptRequest = {
        ...this.internals.chosen.sampling,
        maxNewTokens,
        seed,
        stop: stops,
        topLogProbs: logProbs && (logProbs.top ?? 0),
        responseConstraint: responseConstraint && checkConstraint(responseConstraint),
      };
      const messages = await toWireMessages(input, this.promptContext());
      const { stats, ...usage } = await this.internals.lease.client.prompt(
        this.id,
        messages,
        request,
        onText,
        this.withClosing(signal),
        logProbs?.onToken,
      );
      const { newTokens, decodeSeconds, prefillSeconds, promptTokens, reusedTokens } = stats;
      const finishReason = stats.finishReason ?? 'stop';
      this.last = {
        tokensPerSecond: newTokens > 1 && decodeSeconds > 0 ? (newTokens - 1) / decodeSeconds : undefined,
        firstTokenSeconds: prefillSeconds,
        finishReason,
      };
      this.update(usage);
      onUsage?.({ promptTokens, cachedTokens: reusedTokens, newTokens, finishReason });
    });
  }

  private promptContext(): PromptContext {
    return { expectedTypes: this.internals.expectedTypes, hasMessages: this.hasMessages };
  }

  /** Runs a method of a session. */
  private guard<T>(run: () => Promise<T>): Promise<T> {
    return asPromptError('UnknownError', () => {
      this.closing.signal.throwIfAborted();
      return run();
    });
  }

  private update({ contextUsage, contextWindow, droppedMessages }: SessionUsage): void {
    this.usage = contextUsage;
    this.hasMessages = true;
    this.window = contextWindow;
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

async function asPromptError<T>(
  other: Parameters<typeof toPromptError>[1],
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw toPromptError(error, other);
  }
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
