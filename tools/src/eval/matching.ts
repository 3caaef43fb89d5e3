import type { EvaluationRow } from '../data/index.ts';

/** How an answer is compared: an option's letter, yes or no, or the whole text. */
export type MatchRule = 'letter' | 'yes or no' | 'exact';

export function matchRule({ options, answer }: Pick<EvaluationRow, 'options' | 'answer'>): MatchRule {
  if (Object.keys(options).length > 0) return 'letter';
  return /^(yes|no)$/.test(normalizeAnswer(answer)) ? 'yes or no' : 'exact';
}

/** Whether the model's text counts as the row's answer. */
export function isHit(row: Pick<EvaluationRow, 'options' | 'answer'>, text: string): boolean {
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

/**
 * The option a free text names (speedq's rule is VLMEvalKit's without a judge): the only option letter among
 * its last four words, or else the only option text in it; undefined where neither tells.
 */
export function inferOption(options: Readonly<Record<string, string>>, text: string): string | undefined {
  const words = text
    .replace(/[.()[\],:;!*#{}]/g, ' ')
    .split(/\s+/)
    .filter((word) => word !== '');
  const last = words.slice(-4);
  const letters = Object.keys(options).filter((letter) => last.includes(letter));
  if (letters.length === 1) return letters[0];
  const lower = text.toLowerCase();
  // A long answer that goes through all options chooses none.
  const length = Object.values(options).reduce((sum, option) => sum + option.length, 0);
  if (lower.length > 2 * length) return undefined;
  const named = Object.entries(options).filter(([, option]) => lower.includes(option.toLowerCase()));
  return named.length === 1 ? named[0][0] : undefined;
}

/** 'yes' or 'no' where the text has just one of these words. */
function yesOrNo(text: string): 'yes' | 'no' | undefined {
  const words = text.toLowerCase().split(/[^a-z]+/);
  const yes = words.includes('yes');
  if (yes === words.includes('no')) return undefined;
  return yes ? 'yes' : 'no';
}
