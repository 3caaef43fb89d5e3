import { inferOption } from './benchmarks/multiple-choice.ts';
import type { QuestionText } from './question.ts';

/** How an answer is compared: an option's letter, yes or no, or the whole text. */
export type MatchRule = 'letter' | 'yes or no' | 'exact';

export function matchRule({ options, answer }: Pick<QuestionText, 'options' | 'answer'>): MatchRule {
  if (Object.keys(options).length > 0) return 'letter';
  return /^(yes|no)$/.test(normalizeAnswer(answer)) ? 'yes or no' : 'exact';
}

/** Whether the model's text counts as the row's answer. */
export function isHit(row: Pick<QuestionText, 'options' | 'answer'>, text: string): boolean {
  switch (matchRule(row)) {
    case 'letter':
      return inferOption(row.options, text) === row.answer.trim();
    case 'yes or no':
      return yesOrNo(text) === normalizeAnswer(row.answer);
    default:
      return normalizeAnswer(text) === normalizeAnswer(row.answer);
  }
}

/** Lower case, single spaces, no closing mark: 'The  cat.' and 'the cat' are one answer. */
export function normalizeAnswer(text: string): string {
  return text
    .trim()
    .toLowerCase()
    .replace(/\s+/g, ' ')
    .replace(/[.。!！?？]+$/, '')
    .trim();
}

/** 'yes' or 'no' where the text has just one of these words. */
function yesOrNo(text: string): 'yes' | 'no' | undefined {
  const words = text.toLowerCase().split(/[^a-z]+/);
  const yes = words.includes('yes');
  if (yes === words.includes('no')) return undefined;
  return yes ? 'yes' : 'no';
}
