import { describe, expect, it } from 'vitest';
import type { EvaluationRow } from '../data/index.ts';
import { chances } from './chance.ts';

let index = 0;
function row(category: string, subcategory: string, answer: string, choices = 0): EvaluationRow {
  const options = Object.fromEntries(Array.from({ length: choices }, (_, i) => ['ABCD'[i], `option ${i}`]));
  return {
    index: `${index++}`,
    images: [],
    imagePaths: [],
    question: '?',
    options,
    answer,
    category,
    subcategory,
  };
}

const blind = (rows: readonly EvaluationRow[]) => chances(rows).map((chance) => chance.blind);

describe('blind chance', () => {
  it('is one of the options, or one of two words', () => {
    expect(
      blind([row('choice', 'at', 'B', 4), row('choice', 'at', 'A', 3), row('exists', 'other', 'yes')]),
    ).toEqual([1 / 4, 1 / 3, 1 / 2]);
  });

  it('is the most frequent answer among the other rows of the kind, however it is worded', () => {
    const rows = [
      row('count', 'letters', '2'),
      row('count', 'letters', 'There are 2 letters.'),
      row('count', 'letters', '3'),
      row('count', 'bars', '4'),
      row('count', 'bars', '4'),
    ];
    // Without the first row: 2 once, 3 once: a tie. Without the third: 2 twice.
    expect(blind(rows)).toEqual([1 / 2, 1 / 2, 0, 1, 1]);
    expect(
      blind([row('where', 'of 1', 'at the centre'), row('where', 'of 1', 'The cat is at the centre.')]),
    ).toEqual([1, 1]);
    expect(blind([row('where', 'of 1', 'at the top centre'), row('where', 'of 1', 'at the centre')])).toEqual(
      [0, 0],
    );
    expect(blind([row('colour', 'shape', 'red'), row('colour', 'shape', 'The star is red.')])).toEqual([
      1, 1,
    ]);
  });

  it('does not know what only the picture shows', () => {
    const rows = [
      row('count', 'ordinary', '1'),
      row('count', 'counting', '1'),
      row('count', 'ordinary', '1'),
      row('count', 'zero', '0'),
      row('count', 'zero', '0'),
    ];
    // Three times 1: to an answer 1, two are left, as many as 0s.
    expect(blind(rows)).toEqual([1 / 2, 1 / 2, 1 / 2, 0, 0]);
  });

  it('does not guess an answer that occurs once', () => {
    expect(blind([row('describe', '2', 'a cat and a dog'), row('describe', '2', 'a cow and a pig')])).toEqual(
      [0, 0],
    );
    expect(blind([row('read', 'word', 'ABC')])).toEqual([0]);
  });
});

it('knows what picking among the shown things would score', () => {
  const present = (one: EvaluationRow) => chances([one])[0].present;
  expect(present(row('where', 'of 3', 'at the centre'))).toBe(1 / 3);
  expect(present(row('at', 'of 4', 'a cat'))).toBe(1 / 4);
  expect(present(row('where', 'of 1', 'at the centre'))).toBeUndefined();
  expect(present(row('where', 'of many', 'at the centre'))).toBeUndefined();
  expect(present(row('bar', 'compare', 'the red bar'))).toBe(1 / 2);
  expect(present(row('bar', 'tallest', 'red'))).toBeCloseTo(13 / 36, 12);
  expect(present(row('count', 'ordinary', '2'))).toBeUndefined();
  expect(present(row('choice', 'where', 'A', 4))).toBeUndefined();
});
