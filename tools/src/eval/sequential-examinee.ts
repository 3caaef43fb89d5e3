import { generate, promptAfter, promptBefore, reusablePrefix } from '@speedq/runtime';
import type { EncodedPrompt, ImageFeaturesHandle, Picture } from '@speedq/runtime';
import { GrowingAnswer, answerLimit, concatIds, decodeAnswer, hasRoomForTarget } from './answer.ts';
import type { Answer, AnswerOptions, EncodedQuestion, Examinee } from './answer.ts';
import type { OpenModel } from './open-model.ts';
import { PictureFeatures } from './picture-features.ts';

/** Asks one question after another; what two in a row have in common stays in the engine's cache. */
export class SequentialExaminee implements Examinee {
  readonly model: OpenModel;
  private readonly features: PictureFeatures;
  private cached = EMPTY;

  constructor(model: OpenModel) {
    this.model = model;
    this.features = new PictureFeatures(model.engine);
  }

  async *answer(
    questions: readonly EncodedQuestion[],
    options: AnswerOptions,
  ): AsyncGenerator<Answer, void, void> {
    this.model.engine.truncate(0);
    this.cached = EMPTY;
    for (const question of questions) yield await this.ask(question, options);
  }

  keepPictures(pictures: readonly Picture[]): void {
    this.features.keep(pictures);
  }

  /** Keeps the question in the cache; one that begins like it is answered sooner. */
  async ask(question: EncodedQuestion, options: AnswerOptions): Promise<Answer> {
    const { prompt, target } = question;
    const { engine } = this.model;
    options.signal?.throwIfAborted();
    const reused = reusablePrefix(this.cached, prompt);
    engine.truncate(reused);
    this.cached = promptBefore(prompt, reused);
    const rest = promptAfter(prompt, reused);
    const features = await this.features.of(rest);

    // On the CPU the right answer rides along with the prompt almost for free, and is mostly what comes out.
    const isDrafted =
      target.length > 0 &&
      (options.needForced === true || (engine.kind === 'cpu' && hasRoomForTarget(this.model, question)));
    const answer = isDrafted
      ? await this.generateDrafted(question, rest.ids, features, options)
      : { ids: await this.generate(rest.ids, features, options) };
    if (engine.length > prompt.ids.length) engine.truncate(prompt.ids.length);
    this.cached = promptBefore(prompt, engine.length);
    return { ...answer, text: decodeAnswer(this.model, answer.ids) };
  }

  /** `ids`: of the prompt, those that are not in the cache. */
  private async generateDrafted(
    { prompt, target }: EncodedQuestion,
    ids: Uint32Array,
    features: readonly ImageFeaturesHandle[],
    options: AnswerOptions,
  ): Promise<{ ids: number[]; forced: Float32Array }> {
    const { engine, codec } = this.model;
    const limit = answerLimit(this.model, prompt, options.maxNewTokens);
    const forced = await engine.forward(concatIds(ids, target.slice(0, -1)), features, target.length);
    const answer = new GrowingAnswer(codec.stopTokens, limit);
    answer.addDrafted(forced, engine.vocabSize, target);
    if (!answer.isOver) {
      engine.truncate(prompt.ids.length + answer.ids.length - 1);
      const last = Uint32Array.of(answer.ids.at(-1)!);
      const rest = { ...options, maxNewTokens: limit - answer.ids.length };
      for (const id of await this.generate(last, [], rest)) answer.ids.push(id);
    }
    return { ids: answer.ids, forced };
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
}

const EMPTY: EncodedPrompt = { ids: new Uint32Array(0), images: [] };
