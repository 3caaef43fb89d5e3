import { array, assert, constantFrom, property, string, tuple } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readTsv, tsvLine } from './tsv.ts';

const picture = Buffer.from('a picture, long enough not to be taken for a reference to another row').toString(
  'base64',
);
const header = 'index\timage\tquestion\tA\tB\tanswer\tcategory\tl2-category\tsplit\n';

function problem(text: string): { code?: unknown; message: string } {
  try {
    readTsv(text);
  } catch (error) {
    return error as { code?: unknown; message: string };
  }
  throw new Error('It was read.');
}

describe('readTsv', () => {
  it('reads what pandas writes', () => {
    const text =
      `index\timage\tquestion\thint\tA\tB\tanswer\tcategory\tl2-category\tsplit\n` +
      `0\t${picture}\t"Which one?\nThe ""left"" one\tor…"\tLook.\tcat\tdog\tB\tchoice\tpresent\ttest\n` +
      `1\t0\tHow many?\t\t\t\t3\tcount\tzero\ttest\n` +
      `2\t"['${picture}', '${picture}']"\tBoth?\t\t\t\tyes\t\t\t\n`;
    const rows = readTsv(text);
    expect(rows).toHaveLength(3);
    expect(rows[0]).toMatchObject({
      index: '0',
      images: [picture],
      question: 'Which one?\nThe "left" one\tor…',
      hint: 'Look.',
      options: { A: 'cat', B: 'dog' },
      answer: 'B',
      category: 'choice',
      subcategory: 'present',
      split: 'test',
    });
    expect(rows[1]).toMatchObject({ images: [picture], options: {}, answer: '3' });
    expect(rows[2].images).toEqual([picture, picture]);
    expect(rows[2].category).toBeUndefined();
  });

  it('gives back what tsvLine wrote', () => {
    const field = string({ unit: constantFrom('a', '"', '\t', '\n', '\r', ' ', '猫', ',') });
    assert(
      property(array(tuple(field, field), { maxLength: 5 }), (pairs) => {
        const body = pairs.map(([question, answer], i) => tsvLine([`${i}`, question, answer])).join('');
        const rows = readTsv(tsvLine(['index', 'question', 'answer']) + body);
        expect(rows.map(({ question, answer }) => [question, answer])).toEqual(pairs);
      }),
    );
  });

  it.each([
    ['an empty file', '', 'row 1', 'empty'],
    ['no question column', 'index\tanswer\n1\tx\n', 'row 1', '"question" is missing'],
    ['a column twice', 'index\tquestion\tA\tA\n', 'row 1', 'occurs twice'],
    ['too few fields', `${header}0\t\tWhy?\n`, 'row 2', '3 fields, expected 9'],
    ['a quote that never closes', `${header}0\t\t"Why?\t\t\t\t\t\t\n`, 'row 2', 'never closed'],
    ['text after a quote', `${header}0\t\t"Why"?\t\t\t\t\t\t\n`, 'row 2', 'after its closing quote'],
    [
      'an index twice',
      `${header}0\t\tWhy?\t\t\t\t\t\t\n0\t\tWhy?\t\t\t\t\t\t\n`,
      'row 3',
      'index 0 occurs twice',
    ],
    ['a picture of no row', `${header}0\t7\tWhy?\t\t\t\t\t\t\n`, 'row 2', 'row 7, which does not exist'],
    [
      'a reference to a reference',
      `${header}0\t1\tWhy?\t\t\t\t\t\t\n1\t0\tWhy?\t\t\t\t\t\t\n`,
      'row 2',
      'none of its own',
    ],
    ['a picture that is none', `${header}0\t${'%'.repeat(70)}\tWhy?\t\t\t\t\t\t\n`, 'row 2', 'not base64'],
    ['options with a gap', `${header}0\t\tWhy?\t\tdog\tB\t\t\t\n`, 'row 2', 'option B is there but A is not'],
  ])('refuses %s, naming the row', (_, text, row, what) => {
    const error = problem(text);
    expect(error.code).toBe('invalid-data');
    expect(error.message).toContain(row);
    expect(error.message).toContain(what);
  });

  it('counts the lines inside quotes when it names a row', () => {
    expect(problem('index\tquestion\n0\t"a\nb\nc"\n1\n').message).toContain('row 5');
  });
});
