import type { ChatMessage, EncodedPrompt } from './prompt.ts';
import type { ChatEngine, RespondOptions } from './engine.ts';

/**
 * The messages of one conversation over a shared engine. The engine's KV cache follows whichever
 * conversation spoke last; what two of them have in common is not computed twice.
 */
export class Conversation {
  private readonly engine: ChatEngine;
  private messages: readonly ChatMessage[];
  private usage: number;

  constructor(engine: ChatEngine, messages: readonly ChatMessage[] = []) {
    this.engine = engine;
    this.messages = messages;
    this.usage = engine.encode(messages, false).ids.length;
  }

  /** Tokens of the conversation so far. */
  get contextUsage(): number {
    return this.usage;
  }

  /** Tokens that `messages` would add. */
  measure(messages: readonly ChatMessage[]): number {
    return this.encode(messages, false).ids.length - this.usage;
  }

  /** Adds messages without an answer. @throws {SpeedqError} `context-exceeded`. */
  append(messages: readonly ChatMessage[]): void {
    const { ids } = this.encode(messages, false);
    this.engine.checkFits(ids.length);
    this.messages = [...this.messages, ...messages];
    this.usage = ids.length;
  }

  /**
   * Adds messages, yields the answer's text as it comes and adds it too. When aborted or failed, the
   * conversation is what it was before.
   *
   * @throws {SpeedqError} `context-exceeded`, `device-lost`; the signal's reason.
   */
  async *respond(
    messages: readonly ChatMessage[],
    options: RespondOptions = {},
  ): AsyncGenerator<string, void, void> {
    let text = '';
    for await (const piece of this.engine.respond(this.encode(messages, true), options)) {
      text += piece;
      yield piece;
    }
    const answer: ChatMessage = { role: 'assistant', parts: [{ type: 'text', text }] };
    this.messages = [...this.messages, ...messages, answer];
    this.usage = this.engine.encode(this.messages, false).ids.length;
  }

  clone(): Conversation {
    return new Conversation(this.engine, this.messages);
  }

  private encode(messages: readonly ChatMessage[], awaitAnswer: boolean): EncodedPrompt {
    return this.engine.encode([...this.messages, ...messages], awaitAnswer);
  }
}
