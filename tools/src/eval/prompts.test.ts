import { expect, it } from 'vitest';
import type { EvaluationRow } from '../data/index.ts';
import { promptStyleOf, promptText } from './prompts.ts';

const row: EvaluationRow = {
  index: '0',
  images: [],
  imagePaths: [],
  question: 'What is this?',
  options: {},
  answer: 'x',
};

it('asks open questions as VLMEvalKit does, or as they are', () => {
  expect(promptText(row, 'vlmevalkit')).toBe('What is this?\nAnswer the question directly.');
  expect(promptText(row, 'plain')).toBe('What is this?');
  expect(promptText({ ...row, hint: 'Look.' }, 'plain')).toBe('Look.\nWhat is this?');
});

it('asks for a letter, in the language of the question', () => {
  const choice = { ...row, hint: 'Look.', options: { A: 'cat', B: 'dog' } };
  const expected =
    "Look.\nWhat is this?\nA. cat\nB. dog\nAnswer with the option's letter from the given choices directly.";
  expect(promptText(choice, 'vlmevalkit')).toBe(expected);
  expect(promptText(choice, 'plain')).toBe(expected);
  expect(promptText({ ...row, options: { A: '猫', B: '狗' } }, 'plain')).toBe(
    'What is this?\nA. 猫\nB. 狗\n请直接回答选项字母。',
  );
});

it('knows our own data by its categories', () => {
  expect(
    promptStyleOf([
      { ...row, category: 'what' },
      { ...row, category: 'bar' },
    ]),
  ).toBe('plain');
  expect(
    promptStyleOf([
      { ...row, category: 'what' },
      { ...row, category: 'Physics' },
    ]),
  ).toBe('vlmevalkit');
  expect(promptStyleOf([row])).toBe('vlmevalkit');
});
