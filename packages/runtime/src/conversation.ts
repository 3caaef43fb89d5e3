import { SpeedqError } from '@speedq/format';
import { contextExceeded } from './generate.ts';
import type { ChatMessage, EncodedPrompt } from './prompt.ts';
import type { ChatEngine, RespondOptions } from './engine.ts';

/**
 * What happens to a conversation that outgrows the context. 'error': `context-exceeded`. 'drop-oldest': its
 * oldest turns, each a question with its answer, are forgotten; the system prompt and what is being
 * asked never are, and where that is too much by itself there is the same error.
 */
export type ContextOverflow = 'error' | 'drop-oldest';

export interface ConversationOptions {
  /** Default: 'error'. */
  readonly contextOverflow?: ContextOverflow;
}

/** With 'drop-oldest', an answer is given at least this share of the context, or `maxNewTokens` if less. */
const ANSWER_SHARE = 1 / 4;

/**
 * The messages of one conversation over a shared engine. The engine's KV cache follows whichever
 * conversation spoke last; what two of them have in common is not computed twice.
 */
export class Conversation {
  private readonly engine: ChatEngine;
  private readonly options: ConversationOptions;
  private messages: readonly ChatMessage[];
  private usage: number;
  private dropped = 0;

  constructor(engine: ChatEngine, messages: readonly ChatMessage[] = [], options: ConversationOptions = {}) {
    this.engine = engine;
    this.options = options;
    this.messages = messages;
    this.usage = engine.encode(messages, false).ids.length;
  }

  /** Tokens there is room for: less than at first once the GPU's memory gave out. */
  get contextWindow(): number {
    return this.engine.contextWindow;
  }

  /** Tokens of the conversation so far. */
  get contextUsage(): number {
    return this.usage;
  }

  /** Messages forgotten so far for lack of room. */
  get droppedMessages(): number {
    return this.dropped;
  }

  /** Tokens that `messages` would add. */
  measure(messages: readonly ChatMessage[]): number {
    return this.engine.encode([...this.messages, ...messages], false).ids.length - this.usage;
  }

  /** Adds messages without an answer. @throws {SpeedqError} `context-exceeded`. */
  append(messages: readonly ChatMessage[]): void {
    const { history } = this.fit(messages, false, 0);
    this.remember(history, messages);
  }

  /**
   * Adds messages, yields the answer's text as it comes and adds it too; a last message with `prefix` is the
   * answer's start, which is not yielded again. When aborted or failed, the conversation is what it was before.
   *
   * @throws {SpeedqError} `context-exceeded`, `device-lost`; the signal's reason.
   */
  async *respond(
    messages: readonly ChatMessage[],
    options: RespondOptions = {},
  ): AsyncGenerator<string, void, void> {
    const last = messages.at(-1);
    const started = last?.prefix ? last.parts : [];
    let text = started.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
    let history: readonly ChatMessage[] | undefined;
    while (history === undefined) {
      const window = this.engine.contextWindow;
      const share = Math.floor(window * ANSWER_SHARE);
      const fitting = this.fit(messages, true, Math.min(share, options.maxNewTokens ?? share));
      const length = text.length;
      try {
        for await (const piece of this.engine.respond(fitting.prompt, options)) {
          text += piece;
          yield piece;
        }
        history = fitting.history;
      } catch (error) {
        // Without memory for a larger cache the context has shrunk: what fits it now is asked, or that it is full.
        const isShorter = this.engine.contextWindow < window;
        if (!isShorter || text.length > length || !isOutOfMemory(error)) throw error;
      }
    }
    const asked = last?.prefix ? messages.slice(0, -1) : messages;
    this.remember(history, [...asked, { role: 'assistant', parts: [{ type: 'text', text }] }]);
  }

  clone(): Conversation {
    return new Conversation(this.engine, this.messages, this.options);
  }

  /** As much of the history as the policy keeps in front of `messages`. */
  private fit(
    messages: readonly ChatMessage[],
    awaitAnswer: boolean,
    answerRoom: number,
  ): { history: readonly ChatMessage[]; prompt: EncodedPrompt } {
    const drops = this.options.contextOverflow === 'drop-oldest';
    for (let history = this.messages; ;) {
      const prompt = this.engine.encode([...history, ...messages], awaitAnswer);
      const tokens = prompt.ids.length;
      const window = this.engine.contextWindow;
      if (tokens + (drops ? answerRoom : 0) < window) return { history, prompt };
      const shorter = drops ? withoutOldestTurn(history) : undefined;
      if (shorter !== undefined) history = shorter;
      // An answer that gets less room than it might use is better than none.
      else if (tokens < window) return { history, prompt };
      else throw contextExceeded(tokens, window);
    }
  }

  private remember(history: readonly ChatMessage[], messages: readonly ChatMessage[]): void {
    this.dropped += this.messages.length - history.length;
    this.messages = [...history, ...messages];
    this.usage = this.engine.encode(this.messages, false).ids.length;
  }
}

function isOutOfMemory(error: unknown): boolean {
  return error instanceof SpeedqError && error.code === 'out-of-memory';
}

/** Undefined where nothing is left that may go. */
function withoutOldestTurn(messages: readonly ChatMessage[]): readonly ChatMessage[] | undefined {
  const start = messages.findIndex(({ role }) => role !== 'system');
  if (start < 0) return undefined;
  let end = start + 1;
  while (end < messages.length && !(messages[end].role === 'user' && messages[end - 1].role === 'assistant'))
    end++;
  return [...messages.slice(0, start), ...messages.slice(end)];
}
