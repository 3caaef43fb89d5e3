import { testMix } from '../data/index.ts';
import type { EvaluationRow } from '../data/index.ts';

export const PROMPT_STYLES = ['vlmevalkit', 'plain'] as const;
/**
 * How a row becomes a prompt. 'vlmevalkit': as that tool asks, an open question followed by "Answer the
 * question directly."; 'plain': an open question as it is. Multiple choice is worded the same in both.
 */
export type PromptStyle = (typeof PROMPT_STYLES)[number];

const OWN_CATEGORIES = new Set(Object.keys(testMix.questions));

/** Our own questions say themselves how they want to be answered; anybody else's are asked as VLMEvalKit does. */
export function promptStyleOf(rows: readonly EvaluationRow[]): PromptStyle {
  return rows.every(({ category }) => category !== undefined && OWN_CATEGORIES.has(category))
    ? 'plain'
    : 'vlmevalkit';
}

/** The user's message without its pictures. */
export function promptText({ question, hint, options }: EvaluationRow, style: PromptStyle): string {
  const lines = [...(hint === undefined ? [] : [hint]), question];
  for (const [letter, text] of Object.entries(options)) lines.push(`${letter}. ${text}`);
  if (Object.keys(options).length > 0) {
    lines.push(
      hasChinese(lines.join('\n'))
        ? '请直接回答选项字母。'
        : "Answer with the option's letter from the given choices directly.",
    );
  } else if (style === 'vlmevalkit') {
    lines.push(hasChinese(lines.join('\n')) ? '请直接回答问题。' : 'Answer the question directly.');
  }
  return lines.join('\n');
}

function hasChinese(text: string): boolean {
  return /[\u4e00-\u9fff]/.test(text);
}
