import { SpeedqError } from '@speedq/format';
import type { Question } from '../question.ts';
import { fromTable } from '../table/missing.ts';
import { parseStringList } from '../table/python-list.ts';
import type { BenchmarkScore, ScoredQuestion, ScoreRow } from './types.ts';

export function wordOrPhrasePrompt({ question }: Question): string {
  return `${question}\nAnswer the question using a single word or phrase.`;
}

const FORMULAE = 'Handwritten Mathematical Expression Recognition';
const SECTIONS: Readonly<Record<string, readonly string[]>> = {
  'Text Recognition': [
    'Regular Text Recognition',
    'Irregular Text Recognition',
    'Artistic Text Recognition',
    'Handwriting Recognition',
    'Digit String Recognition',
    'Non-Semantic Text Recognition',
  ],
  'Scene Text-centric VQA': ['Scene Text-centric VQA'],
  'Doc-oriented VQA': ['Doc-oriented VQA'],
  'Key Information Extraction': ['Key Information Extraction'],
  [FORMULAE]: [FORMULAE],
};

/** Any accepted answer is part of the text: of formulae exactly but for spaces, else without regard to case. */
export function holdsAnswer(question: Question, prediction: string): boolean {
  const isFormula = question.category === FORMULAE;
  const clean = (text: string): string =>
    isFormula
      ? text.trim().replaceAll('\n', ' ').replaceAll(' ', '')
      : text.toLowerCase().trim().replaceAll('\n', ' ');
  const text = clean(fromTable(prediction));
  return acceptedAnswers(question).some((answer) => text.includes(clean(answer)));
}

/** @throws {SpeedqError} `invalid-data`. */
export function acceptedAnswers({ index, answer }: Question): string[] {
  const answers = parseStringList(answer);
  if (answers !== undefined) return answers;
  throw new SpeedqError(
    'invalid-data',
    `Row ${index}: OCRBench's answers are a list such as ['one', 'another'], got ${JSON.stringify(answer)}.`,
  );
}

/** Right answers by section and in all; reported is the sum in percent of the 1,000 questions. */
export function ocrScore(scored: readonly ScoredQuestion[]): BenchmarkScore {
  const rows: ScoreRow[] = [];
  const count = (categories: readonly string[]): [number, number] => {
    const own = scored.filter(({ question }) => categories.includes(question.category ?? ''));
    return [own.filter(({ hit }) => hit).length, own.length];
  };
  const total = count(Object.values(SECTIONS).flat());
  rows.push({ name: 'Final Score', level: 'overall', values: total });
  for (const [section, categories] of Object.entries(SECTIONS)) {
    rows.push({ name: section, level: 'l2-category', values: count(categories) });
    if (categories.length === 1) continue;
    for (const name of categories) rows.push({ name, level: 'category', values: count([name]) });
  }
  return {
    score: total[0] / 10,
    metric: 'right answers of 1,000, in percent',
    table: { columns: ['right', 'of'], rows },
  };
}
