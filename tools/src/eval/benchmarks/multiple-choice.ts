import type { QuestionText } from '../question.ts';
import { fromTable } from '../table/missing.ts';

/** As InternVL is asked, `build_multi_choice_prompt` of VLMEvalKit. */
export function multipleChoicePrompt({ hint, question, options }: QuestionText): string {
  const lines = [...(hint === undefined ? [] : [hint]), question];
  for (const [letter, text] of Object.entries(options)) lines.push(`${letter}. ${text}`);
  const isChinese = /[\u4e00-\u9fff]/.test(lines.join('\n'));
  if (Object.keys(options).length > 0) {
    lines.push(
      isChinese ? '请直接回答选项字母。' : "Answer with the option's letter from the given choices directly.",
    );
  } else {
    lines.push(isChinese ? '请直接回答问题。' : 'Answer the question directly.');
  }
  return lines.join('\n');
}

/** Unlike \s it has the information separators and not the byte order mark. */
const PYTHON_SPACE = new RegExp(
  `[\\t-\\r\\p{Zs}\\u0085\\u2028\\u2029${String.fromCharCode(0x1c)}-${String.fromCharCode(0x1f)}]+`,
  'u',
);

/** Answers that VLMEvalKit counts as refusals. */
const REFUSALS = [
  "Sorry, I can't help with images of people yet.",
  "I can't process this file.",
  "I'm sorry, but without the image provided",
  'Cannot determine the answer',
];

/** Python's str.split(). */
export function pythonWords(text: string): string[] {
  return text.split(PYTHON_SPACE).filter(Boolean);
}

/**
 * The option a text names, `can_infer` of VLMEvalKit without a judge: the only option letter that is a word of
 * it, if among the last four words; else a letter after "answer is"; else the only option text in it. 'Z' for a
 * refusal, undefined where nothing tells.
 */
export function inferOption(options: Readonly<Record<string, string>>, text: string): string | undefined {
  return inferLetter(Object.keys(options), text) ?? inferText(options, text);
}

function inferLetter(letters: readonly string[], text: string): string | undefined {
  if (text.includes('Failed to obtain answer via API')) return undefined;
  if (REFUSALS.some((refusal) => text.includes(refusal))) return 'Z';
  const words = pythonWords(text.replace(/[.()[\],:;!*#{}]/g, ' '));
  const named = letters.filter((letter) => words.includes(letter));
  if (named.length === 1) {
    if (words.indexOf(named[0]) > words.length - 5) return named[0];
  } else if (named.length === 0 && words.includes('Z')) {
    return 'Z';
  }
  const verbose = /(?:correct\s+)?answer\s+is\s+\**([ABCD])\**/i.exec(text)?.[1].toUpperCase();
  return verbose !== undefined && letters.includes(verbose) ? verbose : undefined;
}

function inferText(options: Readonly<Record<string, string>>, text: string): string | undefined {
  const lower = text.toLowerCase();
  // A long answer that goes through all options chooses none. Lengths in code points, as Python counts.
  const length = Object.values(options).reduce((sum, option) => sum + codePoints(option), 0);
  if (codePoints(lower) > 2 * length) return undefined;
  const named = Object.entries(options).filter(([, option]) => lower.includes(option.toLowerCase()));
  return named.length === 1 ? named[0][0] : undefined;
}

function codePoints(text: string): number {
  return Array.from(text).length;
}

export function isRightOption(
  { options, answer }: Pick<QuestionText, 'options' | 'answer'>,
  prediction: string,
): boolean {
  return inferOption(options, fromTable(prediction)) === answer;
}

/** MMMU's open questions are scored as a choice between the right answer and "Other Answers". */
export function isRightOptionOrAnswer(question: QuestionText, prediction: string): boolean {
  const { options, answer } = question;
  const all = options.A === undefined ? { ...options, A: answer, B: 'Other Answers' } : options;
  const sorted = Object.fromEntries(Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1)));
  return isRightOption({ options: sorted, answer: /^[A-Z]$/.test(answer) ? answer : 'A' }, prediction);
}
