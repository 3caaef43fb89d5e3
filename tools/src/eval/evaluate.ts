import { SpeedqError } from '@speedq/format';
import { askAll } from './ask.ts';
import type { AskOptions } from './ask.ts';
import { chances } from './chance.ts';
import { summarizeComparison } from './comparison.ts';
import type { Comparison, ComparisonSummary } from './comparison.ts';
import { isHit } from './matching.ts';
import { hasPicture } from './pictures.ts';
import type { PictureMode } from './pictures.ts';
import { promptText } from './prompts.ts';
import type { PromptStyle } from './prompts.ts';
import { score, scoreByCategory } from './scores.ts';
import type { CategoryScore, Score, ScoredRow } from './scores.ts';

/** Every row needs an answer. */
export interface EvaluateOptions extends Pick<
  AskOptions,
  'rows' | 'model' | 'reference' | 'seed' | 'batch' | 'log' | 'signal'
> {
  readonly style: PromptStyle;
  readonly pictures?: PictureMode;
  readonly maxNewTokens?: number;
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
  const { rows, style, pictures = 'own', maxNewTokens = 128, onProgress, ...rest } = options;
  checkRows(rows);
  const begin = performance.now();
  const chance = chances(rows);
  let done = 0;
  let hits = 0;
  const answers = await askAll({
    ...rest,
    rows,
    pictures,
    maxNewTokens,
    promptOf: (row) => promptText(row, style),
    targetOf: (row) => row.answer,
    onAnswer(row, { prediction }) {
      if (isHit(row, prediction)) hits++;
      onProgress?.(++done, hits);
    },
  });
  const all = rows.map((row, i): Prediction => {
    const { prompt, prediction, comparison } = answers.get(row.index)!;
    return {
      index: row.index,
      category: row.category ?? 'all',
      subtype: row.subcategory ?? 'all',
      hasPicture: hasPicture(row),
      question: prompt,
      answer: row.answer,
      prediction,
      hit: isHit(row, prediction),
      chance: chance[i],
      ...(comparison === undefined ? {} : { comparison }),
    };
  });
  const compared = all.flatMap(({ comparison }) => comparison ?? []);
  const losses = rows.flatMap(({ index }) => answers.get(index)!.loss ?? []);
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

function checkRows(rows: AskOptions['rows']): void {
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
