/** The shape of OpenAI's client over models in this page (or, with the class from './node', in Node). */
import { SessionPool } from '../adapters/session-pool.ts';
import type { AdapterOptions } from '../adapters/session-pool.ts';
import type { TextLogProbs } from '../engine.ts';
import type { AnswerUsage } from '../language-model-options.ts';
import { toPromptError } from '../prompt-error.ts';
import { CompletionStream } from './stream.ts';
import { checkParams, toMessages, toPromptOptions } from './request.ts';
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionCreateParams,
  ChoiceLogprobs,
  CompletionUsage,
  TokenLogprob,
} from './types.ts';

export type { AdapterOptions as OpenAIOptions } from '../adapters/session-pool.ts';
export { CompletionStream } from './stream.ts';
export type * from './types.ts';

export interface RequestOptions {
  readonly signal?: AbortSignal | null;
}

type Streaming = ChatCompletionCreateParams & { readonly stream: true };

export interface ChatCompletions {
  /** The answer piece by piece: an async iterable, resolved to when the model is open. */
  create(params: Streaming, options?: RequestOptions): Promise<CompletionStream>;
  /**
   * The whole answer.
   * @throws what `LanguageModel.create` and `prompt` reject with; NotSupportedError (`unsupported`) for
   * parameters that would change the answer and cannot be honoured.
   */
  create(
    params: ChatCompletionCreateParams & { readonly stream?: false | null },
    options?: RequestOptions,
  ): Promise<ChatCompletion>;
}

/** `chat.completions.create` as in OpenAI's library. No key, no address: nothing leaves the machine. */
export class OpenAI {
  readonly chat: { readonly completions: ChatCompletions };
  private readonly pool: SessionPool;

  constructor(options: AdapterOptions = {}) {
    this.pool = new SessionPool(options);
    const create = (params: ChatCompletionCreateParams, { signal }: RequestOptions = {}): Promise<unknown> =>
      params.stream ? this.stream(params, signal) : this.complete(params, signal);
    this.chat = { completions: { create: create as ChatCompletions['create'] } };
  }

  /** Closes the models that requests have opened. */
  destroy(): void {
    this.pool.destroy();
  }

  private async complete(
    params: ChatCompletionCreateParams,
    signal: AbortSignal | null | undefined,
  ): Promise<ChatCompletion> {
    const tokens: TextLogProbs[] = [];
    let content = '';
    const usage = await this.answer(params, signal ?? undefined, {
      onText: (text) => (content += text),
      onToken: (token) => tokens.push(token),
    });
    return {
      ...identity(params.model),
      object: 'chat.completion',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content, refusal: null },
          logprobs: params.logprobs ? toLogprobs(tokens) : null,
          finish_reason: usage.finishReason,
        },
      ],
      usage: toUsage(usage),
    };
  }

  private async stream(
    params: ChatCompletionCreateParams,
    signal: AbortSignal | null | undefined,
  ): Promise<CompletionStream> {
    const controller = new AbortController();
    const both = signal ? AbortSignal.any([signal, controller.signal]) : controller.signal;
    const common = { ...identity(params.model), object: 'chat.completion.chunk' as const };
    const includeUsage = params.stream_options?.include_usage ?? false;
    let tokens: TextLogProbs[] = [];
    type Choice = ChatCompletionChunk['choices'][number];
    const chunk = (delta: Choice['delta'], finish: Choice['finish_reason'] = null): ChatCompletionChunk => {
      const logprobs = tokens.length > 0 ? toLogprobs(tokens) : null;
      tokens = [];
      return {
        ...common,
        choices: [{ index: 0, delta, logprobs, finish_reason: finish }],
        ...(includeUsage ? { usage: null } : {}),
      };
    };
    return await new Promise((resolve, reject) => {
      let output!: ReadableStreamDefaultController<ChatCompletionChunk>;
      const chunks = new ReadableStream<ChatCompletionChunk>({
        start: (value) => void (output = value),
        cancel: (reason) => {
          cancelled = true;
          controller.abort(reason);
        },
      });
      let opened = false;
      let cancelled = false;
      this.answer(params, both, {
        onOpen: () => {
          opened = true;
          output.enqueue(chunk({ role: 'assistant', content: '' }));
          resolve(new CompletionStream(chunks, controller));
        },
        onText: (text) => output.enqueue(chunk({ content: text })),
        onToken: (token) => tokens.push(token),
      }).then(
        (usage) => {
          output.enqueue(chunk({}, usage.finishReason));
          if (includeUsage) output.enqueue({ ...common, choices: [], usage: toUsage(usage) });
          output.close();
        },
        (error: unknown) => {
          if (!opened) reject(error);
          // After a cancel the stream is closed already. `controller.abort()` ends the loop without an error.
          else if (cancelled) return;
          else if (controller.signal.aborted) output.close();
          else output.error(error);
        },
      );
    });
  }

  private async answer(
    params: ChatCompletionCreateParams,
    signal: AbortSignal | undefined,
    output: {
      readonly onOpen?: () => void;
      readonly onText: (text: string) => void;
      readonly onToken: (token: TextLogProbs) => void;
    },
  ): Promise<AnswerUsage> {
    try {
      checkParams(params);
      const messages = toMessages(params);
      const { temperature, top_p: topP } = params;
      const request = { signal, temperature: temperature ?? undefined, topP: topP ?? undefined };
      return await this.pool.withSession(params.model, request, async (session) => {
        output.onOpen?.();
        let usage!: AnswerUsage;
        const pieces = session.promptStreaming(messages, {
          ...toPromptOptions(params),
          signal,
          onUsage: (value) => (usage = value),
          logProbs: params.logprobs ? { top: params.top_logprobs ?? 0, onToken: output.onToken } : undefined,
        });
        const reader = pieces.getReader();
        for (let next = await reader.read(); !next.done; next = await reader.read())
          output.onText(next.value);
        return usage;
      });
    } catch (error) {
      throw toPromptError(error, 'UnknownError');
    }
  }
}

function identity(model: string): { id: string; created: number; model: string } {
  return { id: `chatcmpl-${crypto.randomUUID()}`, created: Math.floor(Date.now() / 1000), model };
}

function toUsage({ promptTokens, cachedTokens, newTokens }: AnswerUsage): CompletionUsage {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: newTokens,
    total_tokens: promptTokens + newTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

function toLogprobs(tokens: readonly TextLogProbs[]): ChoiceLogprobs {
  const entry = ({
    text,
    logProb,
  }: {
    text: string;
    logProb: number;
  }): Omit<TokenLogprob, 'top_logprobs'> => ({
    token: text,
    logprob: logProb,
    bytes: [...new TextEncoder().encode(text)],
  });
  return {
    content: tokens.map((token) => ({ ...entry(token), top_logprobs: token.top.map(entry) })),
    refusal: null,
  };
}
