import { SpeedqError } from '@speedq/format';
import { MARKUP_TOKENS } from '@speedq/processor';
import type { EvaluationRow } from '../data/index.ts';
import { Examinee } from './answer.ts';
import type { Answer } from './answer.ts';
import { chances } from './chance.ts';
import { compareAnswers, forcedLoss, summarizeComparison } from './comparison.ts';
import type { Comparison, ComparisonSummary, ForcedLoss } from './comparison.ts';
import { isHit } from './matching.ts';
import type { OpenModel } from './open-model.ts';
import { groupByPicture, hasPicture } from './pictures.ts';
import type { PictureMode } from './pictures.ts';
import { promptText } from './prompts.ts';
import type { PromptStyle } from './prompts.ts';
import { score, scoreByCategory } from './scores.ts';
import type { CategoryScore, Score, ScoredRow } from './scores.ts';

export interface EvaluateOptions {
  /** Every row needs an answer. */
  readonly rows: readonly EvaluationRow[];
  readonly model: OpenModel;
  /** The float model that answers and probabilities are compared with. */
  readonly reference?: OpenModel;
  /** Folder of the TSV: where image paths start. */
  readonly folder: string;
  readonly style: PromptStyle;
  readonly pictures?: PictureMode;
  /** Of the shuffle. */
  readonly seed?: number;
  readonly maxNewTokens?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, hits: number) => void;
}

export interface Prediction extends ScoredRow {
  readonly index: string;
  readonly hasPicture: boolean;
  readonly question: string;
  readonly answer: string;
  readonly prediction: string;
  readonly comparison?: Comparison;
}

export interface Evaluation extends Score {
  /** Of the rows that have pictures. */
  readonly withPictures: Score;
  readonly byCategory: Readonly<Record<string, CategoryScore>>;
  /** exp of the mean loss per token of the right answers, stop token included; where it was computed. */
  readonly perplexity?: number;
  readonly reference?: ComparisonSummary;
  readonly seconds: number;
  /** In the order of the rows. */
  readonly predictions: readonly Prediction[];
}

/**
 * Asks every question and scores the greedy answers (docs/results.md says how).
 * @throws {SpeedqError} `invalid-data`: a row without answer; `invalid-argument`: a reference with another
 *   tokenizer; `invalid-image`, `context-exceeded`; the signal's reason.
 */
export async function evaluateModel(options: EvaluateOptions): Promise<Evaluation> {
  const { rows, reference, folder, style, signal, onProgress } = options;
  const { pictures: mode = 'own', seed = 0, maxNewTokens = 128 } = options;
  checkRows(rows);
  const begin = performance.now();
  const examinee = new Examinee(options.model);
  const master = reference === undefined ? undefined : new Examinee(reference);
  const chance = new Map(chances(rows).map((one, i) => [rows[i], one]));
  const predictions = new Map<EvaluationRow, Prediction>();
  const losses: ForcedLoss[] = [];
  let hits = 0;

  for (const group of groupByPicture(rows, { mode, seed, folder })) {
    const images = await group.load();
    const pictures = images.map((image) => examinee.model.toPicture(image));
    for (const row of group.rows) {
      const text = promptText(row, style);
      const prompt = examinee.encode(text, pictures);
      const target = targetOf(row, examinee.model);
      const asked = { maxNewTokens, target, needForced: master !== undefined, signal };
      const answer = await explain(row, () => examinee.ask(prompt, asked));
      let expected: Answer | undefined;
      if (master !== undefined) {
        checkSame(prompt.ids, master.encode(text, pictures).ids, master.model.name);
        expected = await explain(row, () => master.ask(prompt, asked));
      }
      const { vocabSize } = examinee.model.engine;
      if (answer.forced !== undefined) losses.push(forcedLoss(answer.forced, target, vocabSize));
      const hit = isHit(row, answer.text);
      if (hit) hits++;
      predictions.set(row, {
        index: row.index,
        category: row.category ?? 'all',
        subtype: row.subcategory ?? 'all',
        hasPicture: hasPicture(row),
        question: text,
        answer: row.answer,
        prediction: answer.text,
        hit,
        chance: chance.get(row)!,
        ...(expected === undefined
          ? {}
          : { comparison: compareAnswers(expected, answer, target, vocabSize) }),
      });
      onProgress?.(predictions.size, hits);
    }
    examinee.forgetPictures();
    master?.forgetPictures();
  }

  const all = rows.map((row) => predictions.get(row)!);
  const compared = all.flatMap(({ comparison }) => comparison ?? []);
  const loss = losses.reduce((sum, one) => sum + one.loss, 0);
  const tokens = losses.reduce((sum, one) => sum + one.tokens, 0);
  return {
    ...score(all),
    withPictures: score(all.filter((one) => one.hasPicture)),
    byCategory: scoreByCategory(all),
    ...(tokens === 0 ? {} : { perplexity: Math.exp(loss / tokens) }),
    ...(compared.length === 0 ? {} : { reference: summarizeComparison(compared) }),
    seconds: (performance.now() - begin) / 1000,
    predictions: all,
  };
}

function checkRows(rows: readonly EvaluationRow[]): void {
  if (rows.length === 0) throw new SpeedqError('invalid-data', 'The data has no questions.');
  for (const { index, answer, options } of rows) {
    if (answer.trim() === '') {
      throw new SpeedqError(
        'invalid-data',
        `Row ${index} has no answer: there is nothing to compare with. Use a split whose answers are public.`,
      );
    }
    const letters = Object.keys(options);
    if (letters.length > 0 && !letters.includes(answer.trim())) {
      throw new SpeedqError(
        'invalid-data',
        `Row ${index}: the answer ${JSON.stringify(answer)} is none of its options ${letters.join(', ')}.`,
      );
    }
  }
}

/** The right answer as training writes it: its tokens and the end of the message. */
function targetOf({ answer }: EvaluationRow, { tokenizer, codec }: OpenModel): number[] {
  const ids = tokenizer.encode(answer, { allowSpecial: new Set(MARKUP_TOKENS) });
  const [end] = codec.stopTokens;
  return end === undefined ? [] : [...ids, end];
}

function checkSame(ids: Uint32Array, others: Uint32Array, name: string): void {
  if (ids.length === others.length && ids.every((id, i) => id === others[i])) return;
  throw new SpeedqError(
    'invalid-argument',
    `The reference ${name} turns the same question into other tokens: it is not the model this one was made of. ` +
      'Give the float checkpoint with the same tokenizer, template and tiling.',
  );
}

async function explain<T>({ index }: EvaluationRow, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof SpeedqError) || cause.code !== 'context-exceeded') throw cause;
    throw new SpeedqError(cause.code, `Row ${index}: ${cause.message}`, { cause });
  }
}
