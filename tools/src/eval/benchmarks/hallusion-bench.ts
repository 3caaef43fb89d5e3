import { SpeedqError } from '@speedq/format';
import type { Question } from '../question.ts';
import { fromTable } from '../table/missing.ts';
import { groupBy, LEVELS, percentRight } from './accuracy.ts';
import { pythonWords } from './multiple-choice.ts';
import type { BenchmarkScore, ScoredQuestion, ScoreRow } from './types.ts';

export function yesOrNoPrompt({ question }: Question): string {
  return `${question} Please answer yes or no. Answer the question using a single word or phrase.`;
}

const PUNCTUATION = [
  ';',
  '/',
  '[',
  ']',
  '"',
  '{',
  '}',
  '(',
  ')',
  '=',
  '+',
  '\\',
  '_',
  '-',
  '>',
  '<',
  '@',
  '`',
  ',',
  '?',
  '!',
];
/** VLMEvalKit passes re.UNICODE where the count of replacements goes. */
const MOST_PERIODS = 32;

/** `process_punctuation` of VLMEvalKit: a mark beside a space goes, one between characters becomes a space. */
function withoutPunctuation(text: string): string {
  const hasDigitComma = /\d,\d/.test(text);
  let result = text;
  for (const mark of PUNCTUATION) {
    const goes = hasDigitComma || text.includes(`${mark} `) || text.includes(` ${mark}`);
    result = result.replaceAll(mark, goes ? '' : ' ');
  }
  let periods = 0;
  return result.replace(/(?<!\d)\.(?!\d)/g, (period) => (periods++ < MOST_PERIODS ? '' : period));
}

/** 'Yes' or 'No' where just one of these words is in the text, `YOrN_Extraction` of VLMEvalKit. */
export function extractYesOrNo(text: string): 'Yes' | 'No' | undefined {
  const words = pythonWords(withoutPunctuation(text.toLowerCase()));
  const yes = words.includes('yes');
  if (yes === words.includes('no')) return undefined;
  return yes ? 'Yes' : 'No';
}

export function isRightYesOrNo({ answer }: Question, prediction: string): boolean {
  return extractYesOrNo(fromTable(prediction)) === answer;
}

const COLUMNS = ['aAcc', 'fAcc', 'qAcc'];

/** Of single answers, of figures answered right throughout, of questions answered right for every figure. */
function rates(rows: readonly ScoredQuestion[]): number[] {
  const whole = (part: 'figure' | 'question'): number => {
    const groups = groupBy(rows, ({ question }) => {
      const { set, ...parts } = partsOf(question);
      return `${question.subcategory}_${set}_${parts[part]}`;
    });
    return percentRight([...groups.values()].map((group) => ({ hit: group.every(({ hit }) => hit) }))) ?? 0;
  };
  return [percentRight(rows) ?? 0, whole('figure'), whole('question')];
}

/** The index carries them: …_…_…_set_figure_question. @throws {SpeedqError} `invalid-data`. */
function partsOf({ index }: Question): { set: string; figure: string; question: string } {
  const [, , , set, figure, question] = index.split('_');
  if (question !== undefined) return { set, figure, question };
  throw new SpeedqError(
    'invalid-data',
    `Row ${index}: HallusionBench's index names set, figure and question as its fourth to sixth part between ` +
      'underscores; this one has fewer. Use the file of VLMEvalKit unchanged.',
  );
}

/** `Hallusion_rating` of VLMEvalKit; reported is the mean of the three. */
export function hallusionScore(scored: readonly ScoredQuestion[]): BenchmarkScore {
  const overall = rates(scored);
  const rows: ScoreRow[] = [{ name: 'Overall', level: 'overall', values: overall }];
  for (const [level, field] of LEVELS) {
    for (const [name, own] of groupBy(scored, ({ question }) => question[field])) {
      rows.push({ name, level, values: rates(own) });
    }
  }
  const score = overall.reduce((sum, value) => sum + value, 0) / overall.length;
  return { score, metric: 'mean of aAcc, fAcc and qAcc', table: { columns: COLUMNS, rows } };
}
