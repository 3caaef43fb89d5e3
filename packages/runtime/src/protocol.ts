import type { KeyValueFormat, MemoryBudget, MemoryUse } from '@speedq/kernels';
import * as Comlink from 'comlink';
import { fromWire, toWire } from './error-transfer.ts';
import type { WireError } from './error-transfer.ts';
import type { ResponseConstraint } from './constraint/response-constraint.ts';
import type { ContextOverflow } from './conversation.ts';
import type { ResponseStats, TextLogProbs } from './engine.ts';
import type { LoadProgress } from './loading/model-files.ts';
import type { WireMessage } from './messages.ts';

/** What the page asks of the engine's worker. Every call may reject with a SpeedqError. */
export interface EngineApi {
  /** Resolves once the worker holds the Web Lock `lock`, its sign of life. */
  hello(lock: string): Promise<void>;
  open(options: OpenRequest, progress: MessagePort): Promise<EngineInfo>;
  createSession(
    request: number,
    messages: readonly WireMessage[],
    options: SessionRequest,
  ): Promise<SessionState>;
  cloneSession(session: number): Promise<SessionState>;
  destroySession(session: number): Promise<void>;
  append(request: number, session: number, messages: readonly WireMessage[]): Promise<SessionUsage>;
  measure(request: number, session: number, messages: readonly WireMessage[]): Promise<number>;
  /** The answer, or what went wrong, comes through `output`. */
  prompt(
    request: number,
    session: number,
    messages: readonly WireMessage[],
    options: PromptRequest,
    output: MessagePort,
  ): Promise<void>;
  abort(request: number): Promise<void>;
  /** GPU bytes now. */
  memory(): Promise<MemoryUse>;
}

export interface OpenRequest {
  /** Absolute address of the packed model's folder; of local files, only a name. */
  readonly url: string;
  /** A folder's files, or an archive: read from where they are, and not kept. */
  readonly files?: readonly File[] | Blob;
  /** Where requests for files are made in place of the engine's own `fetch` (fetch-port.ts). */
  readonly fetch?: MessagePort;
  /** Where files are kept for the next visit; 'memory': nowhere. Default: 'device'. */
  readonly storage?: 'device' | 'memory';
  /** Tokens; absent: the model's own, at most DEFAULT_CONTEXT. */
  readonly contextWindow?: number;
  /** Refuses a model that may come to take more memory. */
  readonly maxMemoryBytes?: number;
  /** Of the cache on the GPU. Absent: DEFAULT_KEY_VALUE_FORMAT. */
  readonly keyValueFormat?: KeyValueFormat;
  /** Absent: WebGPU where it works, else WebAssembly. */
  readonly engine?: EngineChoice;
}

export interface EngineInfo {
  readonly model: string;
  readonly adapter: AdapterDescription;
  readonly contextWindow: number;
  /** Bytes of GPU buffers, or of WebAssembly's memory: weights, KV cache, work space. */
  readonly memoryBytes: number;
  /** What it will take at most, and of what. */
  readonly memoryBudget: MemoryBudget;
  /** Whether the next visit needs no server. */
  readonly keptOffline: boolean;
}

/** What computes. */
export type EngineChoice = 'webgpu' | 'wasm';

export interface AdapterDescription {
  /** 'wasm': the CPU computes, where there is no WebGPU that works. */
  readonly engine: EngineChoice;
  /** As the browser names it, for people. */
  readonly name: string;
  /** A CPU pretending to be a graphics card: right, and slow. */
  readonly isSoftware: boolean;
}

export interface SessionRequest {
  readonly contextOverflow?: ContextOverflow;
}

export interface SessionUsage {
  readonly contextUsage: number;
  readonly contextWindow: number;
  /** Messages forgotten so far for lack of room. */
  readonly droppedMessages: number;
}

export interface SessionState extends SessionUsage {
  readonly id: number;
}

export interface PromptRequest {
  readonly maxNewTokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  /** Absent: other draws each time. */
  readonly seed?: number;
  readonly stop?: readonly string[];
  /** Asks for log-probabilities, with this many of the most probable tokens at each place. */
  readonly topLogProbs?: number;
  readonly responseConstraint?: ResponseConstraint;
}

/** The adapter is known before anything is downloaded: a page can say early that it will be slow. */
export type ProgressMessage = LoadProgress & {
  readonly adapter: AdapterDescription;
  /** Known once the small files are read, before the first shard is. */
  readonly memoryBudget?: MemoryBudget;
};

export interface AnswerEnd extends SessionUsage {
  readonly stats: ResponseStats;
}

export type OutputMessage =
  | { readonly text: string }
  | { readonly token: TextLogProbs }
  | { readonly done: AnswerEnd }
  | { readonly error: WireError };

/** Comlink's own handler drops every field of an error but name, message and stack. Both ends call this. */
export function installErrorTransfer(): void {
  const marker = Comlink.transferHandlers.get('throw');
  if (!marker) throw new Error('Comlink has no handler for thrown values');
  Comlink.transferHandlers.set('throw', {
    canHandle: (value): value is unknown => marker.canHandle(value),
    serialize: (thrown) => [toWire((thrown as { value: unknown }).value), []],
    deserialize: (wire) => {
      throw fromWire(wire as WireError);
    },
  });
}
