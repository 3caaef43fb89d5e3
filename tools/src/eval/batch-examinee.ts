import { SpeedqError } from '@speedq/format';
import { promptAfter, promptBefore, reusablePrefix } from '@speedq/runtime';
import type { EncodedPrompt, Picture } from '@speedq/runtime';
import { GrowingAnswer, answerLimit, concatIds, decodeAnswer, hasRoomForTarget } from './answer.ts';
import type { Answer, AnswerOptions, EncodedQuestion, Examinee } from './answer.ts';
import { argmax } from './engine.ts';
import type { BatchAddition, EngineBatch } from './engine.ts';
import type { OpenModel } from './open-model.ts';
import { PictureFeatures } from './picture-features.ts';

const NOTHING: BatchAddition = { ids: new Uint32Array(0), images: [], rows: 0 };

/**
 * Asks the questions of a call together, on engines that can: prompts and answers advance in one step for all of
 * them, and each answer stops by itself.
 */
export class BatchExaminee implements Examinee {
  readonly model: OpenModel;
  private readonly features: PictureFeatures;

  /** @throws {SpeedqError} `unsupported` where the engine holds only one conversation. */
  constructor(model: OpenModel) {
    if (model.engine.openBatch === undefined) {
      throw new SpeedqError(
        'unsupported',
        `The engine ${model.engine.kind} holds one conversation and answers one question at a time. ` +
          'Leave out --batch, or use --engine cpu.',
      );
    }
    this.model = model;
    this.features = new PictureFeatures(model.engine);
  }

  async *answer(
    questions: readonly EncodedQuestion[],
    { maxNewTokens, signal }: AnswerOptions,
  ): AsyncGenerator<Answer, void, void> {
    const { model } = this;
    const { vocabSize } = model.engine;
    signal?.throwIfAborted();
    const batch = await this.openBatch(questions);
    signal?.throwIfAborted();
    const drafts = questions.map((question) => (hasRoomForTarget(model, question) ? question.target : []));
    const logits = await batch.append(
      questions.map(({ prompt }, i) => {
        const { ids } = promptAfter(prompt, headLength(prompt));
        const draft = drafts[i];
        return { ids: concatIds(ids, draft.slice(0, -1)), images: [], rows: Math.max(1, draft.length) };
      }),
    );
    const answers = questions.map(({ prompt }, i) => {
      const answer = new GrowingAnswer(model.codec.stopTokens, answerLimit(model, prompt, maxNewTokens));
      answer.addDrafted(logits[i], vocabSize, drafts[i]);
      if (!answer.isOver) batch.truncate(i, prompt.ids.length + answer.ids.length - 1);
      return answer;
    });
    await decode(batch, answers, signal);
    for (const [i, { ids }] of answers.entries()) {
      const text = decodeAnswer(model, ids);
      yield { ids, text, ...(drafts[i].length === 0 ? {} : { forced: logits[i] }) };
    }
  }

  keepPictures(pictures: readonly Picture[]): void {
    this.features.keep(pictures);
  }

  /** With every prompt's head in its cache; one that several prompts share is computed once. */
  private async openBatch(questions: readonly EncodedQuestion[]): Promise<EngineBatch> {
    const open = (size: number): EngineBatch => this.model.engine.openBatch!(size);
    const heads: EncodedPrompt[] = [];
    const headOf = questions.map(({ prompt }) => {
      const length = headLength(prompt);
      const known = heads.findIndex(
        (head) => head.ids.length === length && reusablePrefix(head, prompt) === length,
      );
      return known < 0 ? heads.push(promptBefore(prompt, length)) - 1 : known;
    });
    if (heads.every(({ ids }) => ids.length === 0)) return open(questions.length);
    const batch = open(heads.length);
    const additions: BatchAddition[] = [];
    for (const head of heads)
      additions.push({ ids: head.ids, images: await this.features.of(head), rows: 0 });
    await batch.append(additions);
    if (heads.length < questions.length) batch.select(headOf);
    return batch;
  }
}

/** Up to the end of the last picture. */
function headLength({ images }: EncodedPrompt): number {
  return images.reduce((end, { start, length }) => Math.max(end, start + length), 0);
}

/** Goes on until every answer is over; the last id of those that are not is yet to be fed. */
async function decode(
  batch: EngineBatch,
  answers: readonly GrowingAnswer[],
  signal: AbortSignal | undefined,
): Promise<void> {
  let rows = answers;
  for (;;) {
    signal?.throwIfAborted();
    const going = rows.flatMap(({ isOver }, i) => (isOver ? [] : [i]));
    if (going.length === 0) return;
    // Answers that are over cost as much as the others; the copy pays for itself in a few steps.
    if (2 * going.length <= batch.size) {
      batch.select(going);
      rows = going.map((i) => rows[i]);
    }
    const logits = await batch.append(
      rows.map(({ ids, isOver }) =>
        isOver ? NOTHING : { ids: Uint32Array.of(ids.at(-1)!), images: [], rows: 1 },
      ),
    );
    rows.forEach((row, i) => {
      if (!row.isOver) row.add(argmax(logits[i]));
    });
  }
}
