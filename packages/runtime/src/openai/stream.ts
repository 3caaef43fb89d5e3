import type { ChatCompletionChunk } from './types.ts';

/** Chunks of one answer, to be read once. Leaving the loop early, or `controller.abort()`, stops the model. */
export class CompletionStream implements AsyncIterable<ChatCompletionChunk> {
  readonly controller: AbortController;
  private readonly chunks: ReadableStream<ChatCompletionChunk>;

  constructor(chunks: ReadableStream<ChatCompletionChunk>, controller: AbortController) {
    this.chunks = chunks;
    this.controller = controller;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ChatCompletionChunk, void, void> {
    const reader = this.chunks.getReader();
    try {
      for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
    } finally {
      await reader.cancel().catch(() => {});
    }
  }

  /** For pages that would rather have a stream. */
  toReadableStream(): ReadableStream<ChatCompletionChunk> {
    return this.chunks;
  }
}
