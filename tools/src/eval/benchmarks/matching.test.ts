import { describe, expect, it } from 'vitest';
import { extractYesOrNo } from './hallusion-bench.ts';
import { inferOption, isRightOptionOrAnswer, multipleChoicePrompt } from './multiple-choice.ts';

/** Expected values: VLMEvalKit's functions on the same texts (docs/evaluation.md). */
describe('inferOption', () => {
  const options = { A: 'cat', B: 'red star', C: 'star', D: 'dog' };
  it.each([
    ['B', 'B'],
    ['B.', 'B'],
    ['(B)', 'B'],
    ['The answer is B', 'B'],
    ['**B**: red star', 'B'],
    ['cat', 'A'],
    ['It is a Dog.', 'D'],
    // Two letters, but a single option's text.
    ['A or D: dog', 'D'],
    // A second letter anywhere spoils the first.
    ['A is wrong because it must be D', undefined],
    ['A is wrong, so the answer is D', 'D'],
    // Case does not matter there, nor that it is an article.
    ['The answer is a dog', 'A'],
    ['the correct answer is **c**', 'C'],
    ['Z', 'Z'],
    ['Cannot determine the answer: A', 'Z'],
    ['B because it shows five corners', undefined],
    // 'red star' holds 'star' too.
    ['red star', undefined],
    ['A or B', undefined],
    ['', undefined],
    ['b', undefined],
    // Twice as long as all options together: it has gone through them.
    [`the picture shows many different things, among them one dog`, undefined],
  ])('%j → %s', (text, letter) => {
    expect(inferOption(options, text)).toBe(letter);
  });
});

describe('extractYesOrNo', () => {
  it.each([
    ['Yes.', 'Yes'],
    ['No, it is not', 'No'],
    ['yes/no', undefined],
    ['Yes,no', undefined],
    ['yes-it is', 'Yes'],
    // A mark beside a space anywhere joins what it stands between.
    ['yes-it is - well', undefined],
    ['In 1,000 cases,yes', undefined],
    ['there is none', undefined],
    ['yes.no', undefined],
    ['3.5 no', 'No'],
    ['', undefined],
  ])('%j → %s', (text, expected) => {
    expect(extractYesOrNo(text)).toBe(expected);
  });
});

describe('MMMU', () => {
  const open = { index: '1', question: '?', options: {}, answer: '12.5' };
  it.each([
    ['12.5', true],
    ['It is 12.5 m', true],
    ['A', true],
    ['B', false],
    ['Other Answers', false],
    ['12', false],
    ['nothing like it, in a text that goes on for longer than both options taken together', false],
  ])('an open question answered %j: %s', (text, right) => {
    expect(isRightOptionOrAnswer(open, text)).toBe(right);
  });

  it('a choice by its letter', () => {
    const choice = { ...open, options: { A: '1', B: '2', C: '3' }, answer: 'C' };
    expect(isRightOptionOrAnswer(choice, 'C')).toBe(true);
    expect(isRightOptionOrAnswer(choice, 'A')).toBe(false);
  });
});

it('asks a question without options to be answered directly', () => {
  const open = { index: '1', question: 'How long?', options: {}, answer: '1' };
  expect(multipleChoicePrompt(open)).toBe('How long?\nAnswer the question directly.');
  expect(multipleChoicePrompt({ ...open, hint: '看图' })).toBe('看图\nHow long?\n请直接回答问题。');
});
