/** The engine's end of the protocol: sessions and requests. In a worker, or in Node beside its client. */
import { SpeedqError } from '@speedq/format';
import type { MemoryUse } from '@speedq/kernels';
import { createBatcher } from './batcher.ts';
import { Conversation } from './conversation.ts';
import type { ChatEngine, ResponseStats, TextLogProbs } from './engine.ts';
import { toWire } from './error-transfer.ts';
import type { WireImage, WireMessage } from './messages.ts';
import type {
  AnswerEnd,
  EngineApi,
  EngineInfo,
  OpenRequest,
  OutputMessage,
  ProgressMessage,
  PromptRequest,
  SessionRequest,
  SessionState,
  SessionUsage,
} from './protocol.ts';
import type { ChatMessage, ChatPart, Picture } from './prompt.ts';
import { seededRandom } from './random.ts';
import type { Sampling } from './sample.ts';

export interface OpenedEngine {
  readonly engine: ChatEngine;
  readonly info: EngineInfo;
  readonly readPicture: (image: WireImage) => Promise<Picture>;
  readonly readFrame: (image: WireImage) => Promise<Picture>;
  /** What is to be done at the end besides destroying the engine; a worker's end does everything by itself. */
  readonly close?: () => void;
}

/** Loads a model. What differs between a worker and Node is in there. */
export type OpenEngine = (
  request: OpenRequest,
  onProgress: (progress: ProgressMessage) => void,
) => Promise<OpenedEngine>;

export class EngineHost implements EngineApi {
  private readonly openEngine: OpenEngine;
  private opened: OpenedEngine | undefined;
  private readonly sessions = new Map<number, Conversation>();
  private readonly requests = new Map<number, AbortController>();
  private nextSession = 1;
  private closed = false;

  constructor(openEngine: OpenEngine) {
    this.openEngine = openEngine;
  }

  /** Frees what it has where no worker ends with it. */
  close(): void {
    this.closed = true;
    for (const controller of this.requests.values()) controller.abort();
    this.opened?.engine.destroy();
    this.opened?.close?.();
    this.opened = undefined;
  }

  hello(lock: string): Promise<void> {
    return new Promise((held) => {
      // Never released: the browser does it when the worker ends.
      void navigator.locks.request(lock, () => {
        held();
        return new Promise(() => {});
      });
    });
  }

  async open(request: OpenRequest, progress: MessagePort): Promise<EngineInfo> {
    const opened = await this.openEngine(request, (message) => progress.postMessage(message));
    this.opened = opened;
    if (this.closed) this.close();
    return opened.info;
  }

  async createSession(
    request: number,
    messages: readonly WireMessage[],
    options: SessionRequest,
  ): Promise<SessionState> {
    return await this.abortable(request, async (signal) => {
      const conversation = new Conversation(this.engine(), [], options);
      if (messages.length > 0) conversation.append(await this.read(messages));
      // Nobody would ever destroy it.
      signal.throwIfAborted();
      return this.keep(conversation);
    });
  }

  cloneSession(session: number): Promise<SessionState> {
    return Promise.resolve(this.keep(this.session(session).clone()));
  }

  destroySession(session: number): Promise<void> {
    this.sessions.delete(session);
    return Promise.resolve();
  }

  append(request: number, session: number, messages: readonly WireMessage[]): Promise<SessionUsage> {
    return this.abortable(request, async (signal) => {
      const conversation = this.session(session);
      const read = await this.read(messages);
      signal.throwIfAborted();
      conversation.append(read);
      return usageOf(conversation);
    });
  }

  measure(request: number, session: number, messages: readonly WireMessage[]): Promise<number> {
    return this.abortable(request, async () => this.session(session).measure(await this.read(messages)));
  }

  async prompt(
    request: number,
    session: number,
    messages: readonly WireMessage[],
    options: PromptRequest,
    output: MessagePort,
  ): Promise<void> {
    const send = (message: OutputMessage): void => output.postMessage(message);
    const batcher = createBatcher((text) => send({ text }));
    try {
      const done = await this.abortable(request, (signal) =>
        this.answer(this.session(session), messages, options, signal, {
          onText: (text) => batcher.push(text),
          onToken: (token) => send({ token }),
        }),
      );
      batcher.flush();
      send({ done });
    } catch (error) {
      batcher.flush();
      send({ error: toWire(error) });
    } finally {
      output.close();
    }
  }

  abort(request: number): Promise<void> {
    this.requests.get(request)?.abort();
    return Promise.resolve();
  }

  memory(): Promise<MemoryUse> {
    return Promise.resolve(this.engine().memory!);
  }

  private async answer(
    conversation: Conversation,
    messages: readonly WireMessage[],
    options: PromptRequest,
    signal: AbortSignal,
    { onText, onToken }: { onText: (text: string) => void; onToken: (token: TextLogProbs) => void },
  ): Promise<AnswerEnd> {
    const { maxNewTokens, stop, topLogProbs, responseConstraint } = options;
    let stats!: ResponseStats;
    const read = await this.read(messages);
    const pieces = conversation.respond(read, {
      maxNewTokens,
      sampling: samplingOf(options),
      stop,
      responseConstraint,
      logProbs: topLogProbs === undefined ? undefined : { count: topLogProbs, onToken },
      signal,
      onStats: (value) => (stats = value),
    });
    for await (const text of pieces) onText(text);
    return { ...usageOf(conversation), stats };
  }

  /** Decodes pictures; what stays is what the model takes. */
  private read(messages: readonly WireMessage[]): Promise<ChatMessage[]> {
    const opened = this.current();
    return Promise.all(
      messages.map(async ({ role, parts, prefix }) => ({
        role,
        prefix,
        parts: await Promise.all(
          parts.map(async (part): Promise<ChatPart> => {
            if (part.type === 'text') return part;
            if (part.type === 'image')
              return { type: 'image', picture: await opened.readPicture(part.image) };
            return { type: 'video', frames: await Promise.all(part.frames.map(opened.readFrame)) };
          }),
        ),
      })),
    );
  }

  private async abortable<T>(request: number, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    this.requests.set(request, controller);
    try {
      return await run(controller.signal);
    } finally {
      this.requests.delete(request);
    }
  }

  private keep(conversation: Conversation): SessionState {
    const id = this.nextSession++;
    this.sessions.set(id, conversation);
    return { id, ...usageOf(conversation) };
  }

  private session(id: number): Conversation {
    const conversation = this.sessions.get(id);
    if (!conversation) {
      throw new SpeedqError('aborted', 'The session was destroyed. Create a new one to ask more questions.');
    }
    return conversation;
  }

  private engine(): ChatEngine {
    return this.current().engine;
  }

  private current(): OpenedEngine {
    if (!this.opened) throw new SpeedqError('internal', 'The engine was used before it was open.');
    return this.opened;
  }
}

function usageOf({ contextUsage, contextWindow, droppedMessages }: Conversation): SessionUsage {
  return { contextUsage, contextWindow, droppedMessages };
}

function samplingOf({ temperature, seed, ...rest }: PromptRequest): Sampling | undefined {
  if (temperature === undefined) return undefined;
  const { topK, topP, minP, repetitionPenalty } = rest;
  const random = seed === undefined ? Math.random : seededRandom(seed);
  return { temperature, topK, topP, minP, repetitionPenalty, random };
}
