import { SpeedqError } from '@speedq/format';
import { MARKUP_TOKENS } from '@speedq/processor';
import type { RgbImage } from '@speedq/processor';
import type { Picture } from '@speedq/runtime';
import { encodeQuestion } from './answer.ts';
import type { EncodedQuestion, Examinee } from './answer.ts';
import { BatchExaminee } from './batch-examinee.ts';
import { compareAnswers, forcedLoss } from './comparison.ts';
import type { Comparison, ForcedLoss } from './comparison.ts';
import type { OpenModel } from './open-model.ts';
import { groupByPicture } from './pictures.ts';
import type { PictureGroup, PictureMode } from './pictures.ts';
import type { Question } from './question.ts';
import type { RunLog } from './run-log.ts';
import { SequentialExaminee } from './sequential-examinee.ts';

/** What is kept of an asked question. */
export interface Answered {
  readonly index: string;
  readonly prompt: string;
  readonly prediction: string;
  /** Of the right answer, where it came for free. */
  readonly loss?: ForcedLoss;
  readonly comparison?: Comparison;
}

export interface AskOptions {
  readonly rows: readonly Question[];
  readonly model: OpenModel;
  /** The float model that answers and probabilities are compared with. */
  readonly reference?: OpenModel;
  readonly promptOf: (row: Question) => string;
  /** The right answer; undefined where its probability is not wanted. */
  readonly targetOf: (row: Question) => string | undefined;
  readonly pictures: PictureMode;
  /** Of the shuffle. */
  readonly seed?: number;
  /** Changes the decoded pictures of a question. */
  readonly prepare?: (images: readonly RgbImage[]) => readonly RgbImage[];
  /** Most tiles per picture of a question with so many; by default the model's own. */
  readonly maxTiles?: (pictures: number) => number;
  readonly maxNewTokens: number;
  /** Questions that are answered together, on an engine that can. Default 1. */
  readonly batch?: number;
  /** Answers of a run that was cut short are taken from there, new ones added. */
  readonly log?: RunLog<Answered>;
  readonly signal?: AbortSignal;
  readonly onAnswer?: (row: Question, answer: Answered) => void;
}

/** A question and the pictures it is shown with. */
interface Asked {
  readonly row: Question;
  readonly group: PictureGroup;
}

/**
 * Asks every question, those about the same picture one after the other; greedy answers by row index. What is asked
 * in one go, a group or a batch, depends on nothing else and is taken from the log only whole: an interrupted run ends
 * like one that was not.
 */
export async function askAll(options: AskOptions): Promise<Map<string, Answered>> {
  const { rows, pictures: mode, seed = 0, batch = 1, log, onAnswer } = options;
  const session = new Session(options);
  const answers = new Map<string, Answered>();
  for (const portion of portions(groupByPicture(rows, { mode, seed }), batch)) {
    const known = portion.flatMap(({ row }) => log?.answers.get(row.index) ?? []);
    const isDone = known.length === portion.length;
    const found = isDone ? known : await session.ask(portion);
    if (!isDone) await log?.append(found);
    found.forEach((answer, i) => {
      answers.set(answer.index, answer);
      if (isDone) onAnswer?.(portion[i].row, answer);
    });
  }
  session.end();
  return answers;
}

/** One at a time: group by group; else so many questions, whatever their pictures. */
function portions(groups: readonly PictureGroup[], batch: number): Asked[][] {
  const asked = groups.map((group) => group.rows.map((row) => ({ row, group })));
  if (batch === 1) return asked;
  const all = asked.flat();
  return Array.from({ length: Math.ceil(all.length / batch) }, (_, i) =>
    all.slice(i * batch, (i + 1) * batch),
  );
}

/** The models of a run, and the pictures of the questions at hand. */
class Session {
  private readonly options: AskOptions;
  private readonly examinee: Examinee;
  private readonly reference: Examinee | undefined;
  private shown = new Map<PictureGroup, readonly Picture[]>();

  constructor(options: AskOptions) {
    const create = (model: OpenModel): Examinee =>
      (options.batch ?? 1) === 1 ? new SequentialExaminee(model) : new BatchExaminee(model);
    this.options = options;
    this.examinee = create(options.model);
    this.reference = options.reference === undefined ? undefined : create(options.reference);
  }

  async ask(portion: readonly Asked[]): Promise<Answered[]> {
    const { examinee, reference } = this;
    const { promptOf, maxNewTokens, signal, onAnswer } = this.options;
    const { vocabSize } = examinee.model.engine;
    await this.show(portion);
    const questions = portion.map((asked) => this.encode(asked));
    const options = { maxNewTokens, needForced: reference !== undefined, signal };
    const expected = reference?.answer(questions, options);
    const answers: Answered[] = [];
    for await (const answer of examinee.answer(questions, options)) {
      const { row } = portion[answers.length];
      const { target } = questions[answers.length];
      const other = (await expected?.next())?.value;
      const answered: Answered = {
        index: row.index,
        prompt: promptOf(row),
        prediction: answer.text,
        ...(answer.forced === undefined ? {} : { loss: forcedLoss(answer.forced, target, vocabSize) }),
        ...(other ? { comparison: compareAnswers(other, answer, target, vocabSize) } : {}),
      };
      answers.push(answered);
      onAnswer?.(row, answered);
    }
    return answers;
  }

  end(): void {
    this.examinee.keepPictures([]);
    this.reference?.keepPictures([]);
  }

  /** Loads the pictures of these questions and forgets all others. */
  private async show(portion: readonly Asked[]): Promise<void> {
    const { prepare, maxTiles } = this.options;
    const shown = new Map<PictureGroup, readonly Picture[]>();
    for (const { group } of portion) {
      if (shown.has(group)) continue;
      const known = this.shown.get(group);
      if (known !== undefined) {
        shown.set(group, known);
        continue;
      }
      const loaded = await group.load();
      const images = prepare?.(loaded) ?? loaded;
      const tiles = maxTiles?.(images.length);
      shown.set(
        group,
        images.map((image) => this.examinee.model.toPicture(image, tiles)),
      );
    }
    this.shown = shown;
    const pictures = [...shown.values()].flat();
    this.examinee.keepPictures(pictures);
    this.reference?.keepPictures(pictures);
  }

  /** @throws {SpeedqError} `context-exceeded`; `invalid-argument`: a reference of another tokenizer. */
  private encode({ row, group }: Asked): EncodedQuestion {
    const { model } = this.examinee;
    const { promptOf, targetOf } = this.options;
    const [text, pictures] = [promptOf(row), this.shown.get(group)!];
    const prompt = encodeQuestion(model, text, pictures);
    const right = targetOf(row);
    const target = right === undefined ? [] : targetIds(right, model);
    for (const one of [this.examinee, this.reference]) {
      if (one === undefined) continue;
      const needed = prompt.ids.length + (this.reference === undefined ? 1 : Math.max(1, target.length));
      if (needed > one.model.engine.maxContext) throw tooLong(row, needed, one.model);
      if (one !== this.examinee)
        requireSameIds(prompt.ids, encodeQuestion(one.model, text, pictures).ids, one.model.name);
    }
    return { prompt, target };
  }
}

/** The right answer as training writes it: its tokens and the end of the message. */
function targetIds(answer: string, { tokenizer, codec }: OpenModel): number[] {
  const ids = tokenizer.encode(answer, { allowSpecial: new Set(MARKUP_TOKENS) });
  const [end] = codec.stopTokens;
  return end === undefined ? [] : [...ids, end];
}

/** @throws {SpeedqError} `invalid-argument` where a reference reads the same text as other tokens. */
export function requireSameIds(ids: ArrayLike<number>, others: ArrayLike<number>, name: string): void {
  if (ids.length === others.length && Array.from(ids).every((id, i) => id === others[i])) return;
  throw new SpeedqError(
    'invalid-argument',
    `The reference ${name} turns the same question into other tokens: it is not the model this one was made of. ` +
      'Give the float checkpoint with the same tokenizer, template and tiling.',
  );
}

function tooLong({ index }: Question, tokens: number, { name, engine }: OpenModel): SpeedqError {
  return new SpeedqError(
    'context-exceeded',
    `Row ${index}: the question and the least of an answer take ${tokens} tokens, the context of ${name} holds ` +
      `${engine.maxContext}. Leave the row out, or use fewer or smaller pictures.`,
  );
}
