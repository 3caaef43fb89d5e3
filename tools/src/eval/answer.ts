import type { ChatMessage, EncodedPrompt, Picture } from '@speedq/runtime';
import { argmax } from './engine.ts';
import type { OpenModel } from './open-model.ts';

/** A question as a model reads it. */
export interface EncodedQuestion {
  readonly prompt: EncodedPrompt;
  /** The right answer's ids with the stop token after them; [] where it is unknown or not wanted. */
  readonly target: readonly number[];
}

export interface Answer {
  /** Greedy ids, the stop token not among them. */
  readonly ids: readonly number[];
  readonly text: string;
  /** Logits [target.length, vocabSize] under teacher forcing; where they were asked for or came for free. */
  readonly forced?: Float32Array;
}

export interface AnswerOptions {
  readonly maxNewTokens: number;
  /** Compute `forced` on an engine where that costs more than generating. */
  readonly needForced?: boolean;
  readonly signal?: AbortSignal;
}

/** A model that is asked questions. */
export interface Examinee {
  readonly model: OpenModel;
  /** Answers in the order of the questions; they depend on no question of another call. */
  answer(questions: readonly EncodedQuestion[], options: AnswerOptions): AsyncGenerator<Answer, void, void>;
  /** Frees the features of the pictures that are not among these. */
  keepPictures(pictures: readonly Picture[]): void;
}

/** The pictures, then the text, as one message of the user. */
export function encodeQuestion(
  { codec }: OpenModel,
  text: string,
  pictures: readonly Picture[],
): EncodedPrompt {
  const images = pictures.map((picture) => ({ type: 'image' as const, picture }));
  const message: ChatMessage = { role: 'user', parts: [...images, { type: 'text', text }] };
  return codec.encode([message], true);
}

/** An answer while it is generated: greedy ids until a stop token or `limit` of them. */
export class GrowingAnswer {
  readonly ids: number[] = [];
  isOver = false;
  private readonly stopTokens: ReadonlySet<number>;
  private readonly limit: number;

  /** @param limit at least 1 */
  constructor(stopTokens: ReadonlySet<number>, limit: number) {
    this.stopTokens = stopTokens;
    this.limit = limit;
  }

  add(token: number): void {
    if (this.stopTokens.has(token)) {
      this.isOver = true;
      return;
    }
    this.ids.push(token);
    this.isOver = this.ids.length === this.limit;
  }

  /**
   * Speculative decoding with the right answer as draft: `logits` [draft.length, vocabSize], each row computed behind
   * the draft's ids before it, tell the greedy ids up to the first that differs from the draft. Without a draft one
   * row tells one id.
   */
  addDrafted(logits: Float32Array, vocabSize: number, draft: readonly number[]): void {
    for (let row = 0; (row + 1) * vocabSize <= logits.length; row++) {
      const token = argmax(logits, row * vocabSize, (row + 1) * vocabSize);
      this.add(token);
      if (this.isOver || token !== draft[row]) return;
    }
  }
}

/** Tokens that an answer to this prompt may have. */
export function answerLimit(model: OpenModel, prompt: EncodedPrompt, maxNewTokens: number): number {
  return Math.min(maxNewTokens, model.engine.maxContext - prompt.ids.length);
}

/** Whether the right answer can be computed behind its prompt. */
export function hasRoomForTarget(model: OpenModel, { prompt, target }: EncodedQuestion): boolean {
  return prompt.ids.length + target.length <= model.engine.maxContext;
}

export function decodeAnswer({ codec }: OpenModel, ids: readonly number[]): string {
  const decoder = codec.createDecoder();
  return ids.map((id) => decoder.push(id)).join('') + decoder.finish();
}

export function concatIds(ids: Uint32Array, more: readonly number[]): Uint32Array {
  const all = new Uint32Array(ids.length + more.length);
  all.set(ids);
  all.set(more, ids.length);
  return all;
}
