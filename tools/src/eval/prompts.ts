import { testMix } from '../data/index.ts';
import { multipleChoicePrompt } from './benchmarks/multiple-choice.ts';
import type { QuestionText } from './question.ts';

export const PROMPT_STYLES = ['vlmevalkit', 'plain'] as const;
/**
 * How a row becomes a prompt. 'vlmevalkit': as that tool asks, an open question followed by "Answer the
 * question directly."; 'plain': an open question as it is. Multiple choice is worded the same in both.
 */
export type PromptStyle = (typeof PROMPT_STYLES)[number];

const OWN_CATEGORIES = new Set(Object.keys(testMix.questions));

/** Our own questions say themselves how they want to be answered; anybody else's are asked as VLMEvalKit does. */
export function promptStyleOf(rows: readonly QuestionText[]): PromptStyle {
  return rows.every(({ category }) => category !== undefined && OWN_CATEGORIES.has(category))
    ? 'plain'
    : 'vlmevalkit';
}

/** The user's message without its pictures. */
export function promptText(row: QuestionText, style: PromptStyle): string {
  const { question, hint, options } = row;
  if (style === 'vlmevalkit' || Object.keys(options).length > 0) return multipleChoicePrompt(row);
  return hint === undefined ? question : `${hint}\n${question}`;
}
