import type { Random } from '../random.ts';
import type { Question, QuestionType } from '../types.ts';

/**
 * One way to ask and the way it is then answered: the form of the answer follows from the words of the
 * question, so that there is one right answer to each. `{slots}` are filled by the caller.
 */
export type Phrasing = readonly [ask: string, reply: string];

function fill(template: string, slots: Readonly<Record<string, string>>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => slots[name]);
}

/** A question and what it is about: two with the same subject would only repeat each other. */
export interface Asked extends Question {
  readonly subject: string;
}

export function ask(
  random: Random,
  type: QuestionType,
  subtype: string,
  phrasings: readonly Phrasing[],
  slots: Readonly<Record<string, string>>,
): Asked {
  const [question, reply] = random.pick(phrasings);
  const stem = fill(question, slots);
  const subject = `${type}|${subtype}|${Object.values(slots).join('|')}`;
  return { type, subtype, question: stem, stem, answer: fill(reply, slots), subject };
}

/** How benchmarks ask for a short answer. */
const shortly = ['Answer the question using a single word or phrase.', 'Answer the question directly.'];
const letterOnlyChinese = '请直接回答选项字母。';
const letterOnly = "Answer with the option's letter from the given choices directly.";
export const letters = ['A', 'B', 'C', 'D'] as const;

/** A multiple-choice question worded as VLMEvalKit words it; `right` is among `options`. */
export function askChoice(
  random: Random,
  subtype: string,
  stem: string,
  right: string,
  wrong: readonly string[],
): Asked {
  const choices = random.shuffle([right, ...wrong]);
  const lines = [stem, ...choices.map((choice, index) => `${letters[index]}. ${choice}`)];
  const instruction = /\p{Script=Han}/u.test(lines.join('')) ? letterOnlyChinese : letterOnly;
  return {
    type: 'choice',
    subtype,
    question: [...lines, instruction].join('\n'),
    stem,
    subject: `choice|${stem}`,
    answer: letters[choices.indexOf(right)],
    choices,
  };
}

/** Asked the way people type: lower case, no mark, American spelling. */
function careless(random: Random, text: string): string {
  let result = text.replaceAll('colour', 'color').replaceAll('centre', 'center');
  if (random.chance(0.7)) result = result.charAt(0).toLowerCase() + result.slice(1);
  if (random.chance(0.7)) result = result.replace(/[?.]$/, '');
  return result;
}

/** Varies a question without changing its answer: a request for a short answer, or careless typing. */
export function vary(random: Random, asked: Asked, casual: number): Question {
  const { type, subtype, question: text, stem: bare, answer, choices } = asked;
  const question: Question = {
    type,
    subtype,
    question: text,
    stem: bare,
    answer,
    ...(choices && { choices }),
  };
  if (question.choices !== undefined) return question;
  const short =
    !question.answer.endsWith('.') && !question.stem.includes('Answer') && !question.stem.includes('Please');
  if (short && question.type !== 'describe' && random.chance(0.06)) {
    return { ...question, question: `${question.stem}\n${random.pick(shortly)}` };
  }
  // Chinese and sums have no capitals or marks to lose.
  if (random.chance(casual) && /^[A-Z]/.test(question.stem)) {
    const stem = careless(random, question.stem);
    return { ...question, stem, question: stem };
  }
  return question;
}
