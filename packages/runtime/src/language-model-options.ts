import type { KeyValueFormat } from '@speedq/kernels';
import type { TextLogProbs } from './engine.ts';
import type { ContextOverflow } from './conversation.ts';
import type { ResponseConstraint } from './constraint/response-constraint.ts';
import type { CreateMonitor } from './create-monitor.ts';
import type { FinishReason } from './generate.ts';
import type { Fetch } from './loading/download.ts';
import type { LanguageModelMessage, LanguageModelMessageType } from './messages.ts';
import type { ModelOption } from './model-option.ts';
import type { EngineChoice, EngineInfo } from './protocol.ts';
import type { SamplingMode } from './sampling-mode.ts';

export type Availability = 'unavailable' | 'downloadable' | 'downloading' | 'available';

/** A kind of content that a session will be given, or is to give. */
export interface LanguageModelExpected {
  readonly type: LanguageModelMessageType;
  /** BCP 47 tags. They are checked; which languages a model knows, only its makers can say. */
  readonly languages?: readonly string[];
}

/** What tells one model from another. Engines with equal options are shared by their sessions. */
export interface LanguageModelOptions extends ModelOption {
  /** Room for a conversation in tokens; default: the model's own, at most 4096. */
  readonly contextWindow?: number;
  /**
   * Memory that the model may come to take, in bytes; a larger one is refused before its weights are fetched
   * (`out-of-memory`). Default: what the device gives.
   */
  readonly maxMemoryBytes?: number;
  /**
   * How keys and values are kept on the GPU: 'f16' by default; 'q8' takes about half of it and rounds to 8 bits, 'f32'
   * takes twice as much and rounds nothing. WebAssembly keeps f32 whatever this says.
   */
  readonly keyValueFormat?: KeyValueFormat;
  /**
   * What computes. Default: WebGPU where it works (a self-test tells), else WebAssembly, whose script is fetched only
   * then. Pages with a Content-Security-Policy must let the worker's script use 'wasm-unsafe-eval' for it.
   */
  readonly engine?: EngineChoice;
  /** 'text' is always expected. Pictures are taken only where 'image' is. */
  readonly expectedInputs?: readonly LanguageModelExpected[];
  /** Models answer in text. */
  readonly expectedOutputs?: readonly LanguageModelExpected[];
  /** Not supported: a list that is not empty makes `availability` 'unavailable' and `create` reject. */
  readonly tools?: readonly object[];
  /**
   * Makes the engine's worker, for pages whose bundler or Trusted Types want to see to it themselves:
   * its script is '@speedq/runtime/worker', a module.
   */
  readonly createWorker?: () => Worker;
}

export interface LanguageModelCreateOptions extends LanguageModelOptions {
  /** Aborts creation; later, destroys the session. */
  readonly signal?: AbortSignal;
  /** Gets an EventTarget that fires `downloadprogress` with `loaded` from 0 to 1. */
  readonly monitor?: (monitor: CreateMonitor) => void;
  /**
   * Fetches the model's files in place of the browser's `fetch`: to sign requests, say, or from a store of one's own.
   * It runs in the page and gets headers, cache and signal; what it gives is verified like all else. Sessions that share
   * an engine use the one it was opened with.
   */
  readonly fetch?: Fetch;
  readonly initialPrompts?: readonly LanguageModelMessage[];
  /** Default: 'most-predictable', the most probable token always. Excludes the numbers below. */
  readonly samplingMode?: SamplingMode;
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
  /** What happens when the conversation outgrows the context; default: 'drop-oldest', as browsers do. */
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
  /** Called before the answer's promise or stream ends. */
  readonly onUsage?: (usage: AnswerUsage) => void;
}

export interface LanguageModelAppendOptions {
  readonly signal?: AbortSignal;
}

export type LanguageModelCloneOptions = LanguageModelAppendOptions;

/** What one answer took. */
export interface AnswerUsage {
  /** Tokens in front of the answer: conversation, question and pictures. */
  readonly promptTokens: number;
  /** Of those, tokens that were not computed again. */
  readonly cachedTokens: number;
  readonly newTokens: number;
  /** 'stop': by itself, a stop string or a constraint; 'length': `maxNewTokens` or the context's end. */
  readonly finishReason: FinishReason;
}

export interface SessionInfo extends EngineInfo {
  /** Decoding speed of the last answer; undefined before the first one of at least two tokens. */
  readonly tokensPerSecond: number | undefined;
  /** From the question to the first token of the last answer, pictures included. */
  readonly firstTokenSeconds: number | undefined;
  /** Why the last answer ended: by itself or a stop string, or at `maxNewTokens` or the context's end. */
  readonly finishReason: FinishReason | undefined;
}
