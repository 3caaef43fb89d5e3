import { SpeedqError } from '@speedq/format';
import { MARKUP_TOKENS } from '@speedq/processor';
import type { RgbImage } from '@speedq/processor';
import { Examinee } from './answer.ts';
import type { Answer } from './answer.ts';
import { compareAnswers, forcedLoss } from './comparison.ts';
import type { Comparison, ForcedLoss } from './comparison.ts';
import type { OpenModel } from './open-model.ts';
import { groupByPicture } from './pictures.ts';
import type { PictureGroup, PictureMode } from './pictures.ts';
import type { Question } from './question.ts';
import type { RunLog } from './run-log.ts';

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
  /** Answers of a run that was cut short are taken from there, new ones added. */
  readonly log?: RunLog<Answered>;
  readonly signal?: AbortSignal;
  readonly onAnswer?: (row: Question, answer: Answered) => void;
}

/**
 * Asks every question, those about the same picture together; greedy answers by row index. An answer depends
 * on nothing outside its group, and only whole groups are taken from the log: an interrupted run ends like
 * one that was not.
 */
export async function askAll(options: AskOptions): Promise<Map<string, Answered>> {
  const { rows, pictures: mode, seed = 0, log, onAnswer } = options;
  const examinee = new Examinee(options.model);
  const master = options.reference === undefined ? undefined : new Examinee(options.reference);
  const answers = new Map<string, Answered>();
  for (const group of groupByPicture(rows, { mode, seed })) {
    const known = group.rows.flatMap(({ index }) => log?.answers.get(index) ?? []);
    const isDone = known.length === group.rows.length;
    const found = isDone ? known : await askGroup(group, examinee, master, options);
    if (!isDone) await log?.append(found);
    found.forEach((answer, i) => {
      answers.set(answer.index, answer);
      if (isDone) onAnswer?.(group.rows[i], answer);
    });
  }
  return answers;
}

async function askGroup(
  group: PictureGroup,
  examinee: Examinee,
  master: Examinee | undefined,
  { promptOf, targetOf, prepare, maxTiles, maxNewTokens, signal, onAnswer }: AskOptions,
): Promise<Answered[]> {
  const loaded = await group.load();
  const images = prepare?.(loaded) ?? loaded;
  const tiles = maxTiles?.(images.length);
  const pictures = images.map((image) => examinee.model.toPicture(image, tiles));
  const { vocabSize } = examinee.model.engine;
  examinee.startOver();
  master?.startOver();
  const answers: Answered[] = [];
  for (const row of group.rows) {
    const text = promptOf(row);
    const prompt = examinee.encode(text, pictures);
    const right = targetOf(row);
    const target = right === undefined ? [] : targetIds(right, examinee.model);
    const asked = { maxNewTokens, target, needForced: master !== undefined, signal };
    const answer = await explain(row, () => examinee.ask(prompt, asked));
    let expected: Answer | undefined;
    if (master !== undefined) {
      requireSameIds(prompt.ids, master.encode(text, pictures).ids, master.model.name);
      expected = await explain(row, () => master.ask(prompt, asked));
    }
    const answered: Answered = {
      index: row.index,
      prompt: text,
      prediction: answer.text,
      ...(answer.forced === undefined ? {} : { loss: forcedLoss(answer.forced, target, vocabSize) }),
      ...(expected === undefined ? {} : { comparison: compareAnswers(expected, answer, target, vocabSize) }),
    };
    answers.push(answered);
    onAnswer?.(row, answered);
  }
  examinee.forgetPictures();
  master?.forgetPictures();
  return answers;
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

async function explain<T>({ index }: Question, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof SpeedqError) || cause.code !== 'context-exceeded') throw cause;
    throw new SpeedqError(cause.code, `Row ${index}: ${cause.message}`, { cause });
  }
}
