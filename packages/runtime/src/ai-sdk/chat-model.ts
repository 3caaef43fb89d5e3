import type {
  LanguageModelV3,
  LanguageModelV3CallOptions,
  LanguageModelV3FinishReason,
  LanguageModelV3GenerateResult,
  LanguageModelV3StreamPart,
  LanguageModelV3StreamResult,
  LanguageModelV3Usage,
} from '@ai-sdk/provider';
import type { SessionPool } from '../adapters/session-pool.ts';
import type { AnswerUsage } from '../language-model-options.ts';
import { toPromptError } from '../prompt-error.ts';
import { toMessages, warningsOf } from './prompt.ts';

/** The provider's part of `providerOptions`, and of warnings and errors. */
const PROVIDER = 'speedq';

/** Version 3 of the SDK's language models: AI SDK 6, which newer ones accept too. */
export class ChatModel implements LanguageModelV3 {
  readonly specificationVersion = 'v3';
  readonly provider = PROVIDER;
  readonly modelId: string;
  /** The SDK fetches pictures given by address itself, before they come here. */
  readonly supportedUrls = {};
  private readonly pool: SessionPool;

  constructor(modelId: string, pool: SessionPool) {
    this.modelId = modelId;
    this.pool = pool;
  }

  async doGenerate(options: LanguageModelV3CallOptions): Promise<LanguageModelV3GenerateResult> {
    let text = '';
    const usage = await this.answer(options, (piece) => (text += piece));
    return {
      content: [{ type: 'text', text }],
      finishReason: toFinishReason(usage),
      usage: toUsage(usage),
      response: this.metadata(),
      warnings: warningsOf(options),
    };
  }

  doStream(options: LanguageModelV3CallOptions): Promise<LanguageModelV3StreamResult> {
    const cancelled = new AbortController();
    const { abortSignal } = options;
    const signal = abortSignal ? AbortSignal.any([abortSignal, cancelled.signal]) : cancelled.signal;
    const id = 'text';
    let started = false;
    const stream = new ReadableStream<LanguageModelV3StreamPart>({
      start: async (controller) => {
        const send = (part: LanguageModelV3StreamPart): void => {
          if (!cancelled.signal.aborted) controller.enqueue(part);
        };
        send({ type: 'stream-start', warnings: warningsOf(options) });
        send({ type: 'response-metadata', ...this.metadata() });
        try {
          const usage = await this.answer({ ...options, abortSignal: signal }, (delta) => {
            if (!started) send({ type: 'text-start', id });
            started = true;
            send({ type: 'text-delta', id, delta });
          });
          if (started) send({ type: 'text-end', id });
          send({ type: 'finish', finishReason: toFinishReason(usage), usage: toUsage(usage) });
        } catch (error) {
          send({ type: 'error', error });
        }
        if (!cancelled.signal.aborted) controller.close();
      },
      cancel: (reason) => cancelled.abort(reason),
    });
    return Promise.resolve({ stream });
  }

  private metadata(): { id: string; timestamp: Date; modelId: string } {
    return { id: crypto.randomUUID(), timestamp: new Date(), modelId: this.modelId };
  }

  private async answer(
    options: LanguageModelV3CallOptions,
    onText: (text: string) => void,
  ): Promise<AnswerUsage> {
    const { prompt, temperature, topP, topK, maxOutputTokens, stopSequences, seed, responseFormat } = options;
    const signal = options.abortSignal;
    const { repetitionPenalty } = (options.providerOptions?.[PROVIDER] ?? {}) as {
      repetitionPenalty?: number;
    };
    try {
      const messages = toMessages(prompt);
      const request = { signal, temperature, topP, topK, repetitionPenalty };
      return await this.pool.withSession(this.modelId, request, async (session) => {
        let usage!: AnswerUsage;
        const pieces = session.promptStreaming(messages, {
          signal,
          seed,
          maxNewTokens: maxOutputTokens,
          stop: stopSequences,
          responseConstraint:
            responseFormat?.type === 'json' ? (responseFormat.schema ?? { type: 'object' }) : undefined,
          onUsage: (value) => (usage = value),
        });
        const reader = pieces.getReader();
        for (let next = await reader.read(); !next.done; next = await reader.read()) onText(next.value);
        return usage;
      });
    } catch (error) {
      throw toPromptError(error, 'UnknownError');
    }
  }
}

function toFinishReason({ finishReason }: AnswerUsage): LanguageModelV3FinishReason {
  return { unified: finishReason, raw: finishReason };
}

function toUsage({ promptTokens, cachedTokens, newTokens }: AnswerUsage): LanguageModelV3Usage {
  return {
    inputTokens: {
      total: promptTokens,
      noCache: promptTokens - cachedTokens,
      cacheRead: cachedTokens,
      cacheWrite: undefined,
    },
    outputTokens: { total: newTokens, text: newTokens, reasoning: undefined },
  };
}
