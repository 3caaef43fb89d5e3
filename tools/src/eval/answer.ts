import { generate, promptAfter, promptBefore, reusablePrefix } from '@speedq/runtime';
import type { ChatMessage, EncodedPrompt, ImageFeaturesHandle, Picture } from '@speedq/runtime';
import { argmax } from './engine.ts';
import type { OpenModel } from './open-model.ts';

export interface Answer {
  /** Greedy ids, the stop token not among them. */
  readonly ids: readonly number[];
  readonly text: string;
  /** Logits [target.length, vocabSize] under teacher forcing; where they were asked for or came for free. */
  readonly forced?: Float32Array;
}

export interface AnswerOptions {
  readonly maxNewTokens: number;
  /** The right answer's ids with the stop token after them; [] where it is unknown. */
  readonly target: readonly number[];
  /** Compute `forced` on an engine where that costs more than generating. */
  readonly needForced: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Asks one model question after question, keeping in its cache what two questions in a row have in common and
 * encoding a picture once.
 */
export class Examinee {
  readonly model: OpenModel;
  private cached: EncodedPrompt = { ids: new Uint32Array(0), images: [] };
  private readonly features = new Map<Picture, ImageFeaturesHandle>();

  constructor(model: OpenModel) {
    this.model = model;
  }

  /** Forgets what is in the cache, so that answers do not depend on what was asked before. */
  startOver(): void {
    this.model.engine.truncate(0);
    this.cached = { ids: new Uint32Array(0), images: [] };
  }

  encode(text: string, pictures: readonly Picture[]): EncodedPrompt {
    const images = pictures.map((picture) => ({ type: 'image' as const, picture }));
    const message: ChatMessage = { role: 'user', parts: [...images, { type: 'text', text }] };
    return this.model.codec.encode([message], true);
  }

  async ask(prompt: EncodedPrompt, options: AnswerOptions): Promise<Answer> {
    const { engine } = this.model;
    const { target, needForced, signal } = options;
    signal?.throwIfAborted();
    const reused = reusablePrefix(this.cached, prompt);
    engine.truncate(reused);
    this.cached = promptBefore(prompt, reused);
    const { ids, images } = promptAfter(prompt, reused);
    const features: ImageFeaturesHandle[] = [];
    for (const { picture } of images) features.push(await this.encodePicture(picture));

    // On the CPU the right answer rides along with the prompt almost for free, and is mostly what comes out.
    const hasTarget = target.length > 0 && (needForced || engine.kind === 'cpu');
    const answer = hasTarget
      ? await this.generateWithDraft(ids, features, options)
      : { ids: await this.generate(ids, features, options) };
    if (engine.length > prompt.ids.length) engine.truncate(prompt.ids.length);
    this.cached = promptBefore(prompt, engine.length);
    return { ...answer, text: this.decode(answer.ids) };
  }

  /** Frees the pictures seen so far. */
  forgetPictures(): void {
    for (const features of this.features.values()) features.destroy();
    this.features.clear();
  }

  /**
   * Speculative decoding with the right answer as draft: one run gives the logits at each of its tokens; they
   * are the greedy answer's as long as both agree, and from there on it is generated token by token.
   */
  private async generateWithDraft(
    ids: Uint32Array,
    features: readonly ImageFeaturesHandle[],
    options: AnswerOptions,
  ): Promise<{ ids: number[]; forced: Float32Array }> {
    const { target, maxNewTokens } = options;
    const { engine, codec } = this.model;
    const start = engine.length + ids.length;
    const forced = await engine.forward(concat(ids, target.slice(0, -1)), features, target.length);
    const answer: number[] = [];
    for (let i = 0; i < target.length; i++) {
      const token = argmax(forced, i * engine.vocabSize, (i + 1) * engine.vocabSize);
      if (codec.stopTokens.has(token) || answer.length === maxNewTokens) break;
      answer.push(token);
      if (token === target[i]) continue;
      engine.truncate(start + i);
      if (answer.length < maxNewTokens) {
        const rest = { ...options, maxNewTokens: maxNewTokens - answer.length };
        answer.push(...(await this.generate(Uint32Array.of(token), [], rest)));
      }
      break;
    }
    return { ids: answer, forced };
  }

  private async generate(
    ids: Uint32Array,
    features: readonly ImageFeaturesHandle[],
    { maxNewTokens, signal }: AnswerOptions,
  ): Promise<number[]> {
    const { engine, codec } = this.model;
    const { stopTokens } = codec;
    const answer: number[] = [];
    for await (const id of generate(engine, ids, features, { maxNewTokens, stopTokens, signal })) {
      answer.push(id);
    }
    return answer;
  }

  private decode(ids: readonly number[]): string {
    const decoder = this.model.codec.createDecoder();
    return ids.map((id) => decoder.push(id)).join('') + decoder.finish();
  }

  private async encodePicture(picture: Picture): Promise<ImageFeaturesHandle> {
    const known = this.features.get(picture);
    if (known !== undefined) return known;
    const features = await this.model.engine.encodeImages(picture.pixels, picture.tiles);
    this.features.set(picture, features);
    return features;
  }
}

function concat(ids: Uint32Array, more: readonly number[]): Uint32Array {
  const all = new Uint32Array(ids.length + more.length);
  all.set(ids);
  all.set(more, ids.length);
  return all;
}
