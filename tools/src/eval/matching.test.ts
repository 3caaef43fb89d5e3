import { describe, expect, it } from 'vitest';
import { isHit, matchRule } from './matching.ts';

const options = { A: 'cat', B: 'red star', C: 'star', D: 'dog' };
const open = (answer: string) => ({ options: {}, answer });

describe('multiple choice', () => {
  it('compares the letter', () => {
    expect(matchRule({ options, answer: 'B' })).toBe('letter');
    expect(isHit({ options, answer: 'B' }, 'B')).toBe(true);
    expect(isHit({ options, answer: 'C' }, 'B')).toBe(false);
    expect(isHit({ options, answer: 'B' }, 'none')).toBe(false);
  });
});

describe('yes or no', () => {
  it.each([
    ['Yes.', 'yes', true],
    ['yes, there is a cat', 'Yes', true],
    ['No', 'yes', false],
    ['there is none', 'no', false],
    ['yes or no', 'yes', false],
    ['yesterday', 'yes', false],
  ])('%j for %j: %s', (text, answer, hit) => {
    expect(matchRule(open(answer))).toBe('yes or no');
    expect(isHit(open(answer), text)).toBe(hit);
  });
});

describe('open questions', () => {
  it.each([
    ['a cat', 'a cat', true],
    [' A  Cat. ', 'a cat', true],
    ['你好。', '你好', true],
    ['cat', 'a cat', false],
    ['a cat and a dog', 'a cat', false],
    // A whole sentence asks for the whole sentence.
    ['Yes.', 'Yes, there is a cat.', false],
    ['yes, there is a cat', 'Yes, there is a cat.', true],
    ['3', '3', true],
    ['13', '3', false],
  ])('%j for %j: %s', (text, answer, hit) => {
    expect(matchRule(open(answer))).toBe('exact');
    expect(isHit(open(answer), text)).toBe(hit);
  });
});
