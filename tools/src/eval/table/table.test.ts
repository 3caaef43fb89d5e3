import { array, assert, asyncProperty, constantFrom, integer, string, tuple } from 'fast-check';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tsvLine } from '../../data/index.ts';
import { parseStringList } from './python-list.ts';
import { scanRecords } from './scan.ts';
import { Table } from './table.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-table-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function openText(text: string): Promise<Table> {
  const path = join(folder, 'data.tsv');
  await writeFile(path, text);
  return Table.open(path);
}

const bytes = (seed: number) => Buffer.from(Array.from({ length: 80 }, (_, i) => (i * seed) % 251));
const [one, two] = [bytes(7), bytes(11)];
const [first, second] = [one.toString('base64'), two.toString('base64')];

describe('Table', () => {
  it('reads pictures, lists of them and references to earlier and later rows', async () => {
    const list = `['${first}', "${second}"]`;
    const table = await openText(
      [
        ['index', 'image', 'question'],
        ['a', 'c', 'later'],
        ['b', first, 'own'],
        ['c', list, 'several'],
        ['d', 'b', 'earlier'],
        ['e', '', 'none'],
        ['f', first, 'the same once more'],
      ]
        .map(tsvLine)
        .join(''),
    );
    const shown = await Promise.all(table.rows.map((row) => table.readPictures(row)));
    expect(shown).toEqual([[one, two], [one], [one, two], [one], [], [one]]);
    const keys = table.rows.map(({ pictureKey }) => pictureKey);
    expect(keys[0]).toBe(keys[2]);
    expect(keys[1]).toBe(keys[3]);
    expect(keys[1]).toBe(keys[5]);
    expect(keys[4]).toBeUndefined();
    expect(new Set(keys).size).toBe(3);
    await table.close();
  });

  it.each([
    ['an empty file', '', /row 1: the file is empty/],
    ['no question column', 'index\tanswer\n1\tx\n', /"question" is missing/],
    ['a column twice', 'index\tquestion\tA\tA\n', /"A" occurs twice/],
    ['too few fields', 'index\tquestion\tA\n0\tWhy?\n', /row 2: 2 fields, expected 3/],
    ['a quote that never closes', 'index\tquestion\n0\t"Why?\n', /row 2: the quote opened in field 2/],
    ['text after a quote', 'index\tquestion\n0\t"Why"?\n', /row 2: field 2 goes on/],
    ['an index twice', 'index\tquestion\n0\ta\n0\tb\n', /row 3: the index 0 occurs twice/],
    ['no index', 'index\tquestion\n\ta\n', /row 2: the index is empty/],
    ['a reference to nothing', 'index\timage\tquestion\n0\t9\ta\n', /row 9, which does not exist/],
    [
      'a reference to a reference',
      `index\timage\tquestion\n0\t1\ta\n1\t2\tb\n2\t${first}\tc\n`,
      /none of its own/,
    ],
  ])('refuses %s', async (_, text, message) => {
    await expect(openText(text)).rejects.toMatchObject({ code: 'invalid-data', message });
  });

  it('refuses pictures that are not base64', async () => {
    const noise = '!'.repeat(99);
    const table = await openText(`index\timage\tquestion\n0\t${noise}\ta\n1\t"['x', ${noise}]"\tb\n`);
    for (const row of table.rows) {
      await expect(table.readPictures(row)).rejects.toMatchObject({ code: 'invalid-data' });
    }
    await table.close();
  });
});

describe('scanRecords', () => {
  const field = string({ unit: constantFrom('a', '"', '\t', '\n', '\r', ' ', '猫', ',') });

  it('gives back what was written, wherever the chunks end', async () => {
    const records = array(tuple(field, field, field), { minLength: 1, maxLength: 4 });
    await assert(
      asyncProperty(records, integer({ min: 1, max: 9 }), async (written, size) => {
        const text = Buffer.from(written.map((fields) => tsvLine(['x', ...fields])).join(''));
        async function* chunks() {
          for (let at = 0; at < text.length; at += size)
            yield await Promise.resolve(text.subarray(at, at + size));
        }
        const read: string[][] = [];
        for await (const { fields } of scanRecords(chunks(), (column) => column === 2)) {
          read.push(
            fields.map((one) => {
              if (typeof one === 'string') return one;
              const raw = text.subarray(one.start, one.end).toString();
              return one.isQuoted ? raw.replaceAll('""', '"') : raw;
            }),
          );
        }
        expect(read).toEqual(written.map((fields) => ['x', ...fields]));
      }),
    );
  });

  it.each([
    [
      '\uFEFFa\tb\r\n1\t2\r\n',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    [
      'a\tb\n\n1\t',
      [
        ['a', 'b'],
        ['1', ''],
      ],
    ],
    [
      'a\tb\r1\t"2"',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    ['a\n1 "quoted" inside\n', [['a'], ['1 "quoted" inside']]],
  ])('reads %j', async (text, expected) => {
    async function* chunks() {
      yield await Promise.resolve(Buffer.from(text));
    }
    const read: unknown[] = [];
    for await (const { fields } of scanRecords(chunks(), () => false)) read.push(fields);
    expect(read).toEqual(expected);
  });
});

describe('parseStringList', () => {
  // Expected: Python 3's ast.literal_eval.
  it.each([
    [`['a', "b"]`, ['a', 'b']],
    [`["it's", 'a "b"', 'c\\'d', 'e\\\\']`, ["it's", 'a "b"', "c'd", 'e\\']],
    [`['\\frac{1}{2}', '\\\\frac', 'x\\ty', '\\x41\\u732b']`, ['\frac{1}{2}', '\\frac', 'x\ty', 'A猫']],
    [`['\\0\\101\\q\\U0001f600']`, ['\0A\\q😀']],
    [`['a',]`, ['a']],
    [`[]`, []],
    [`[1, 2]`, undefined],
    [`a`, undefined],
    [`['a' 'b']`, undefined],
  ])('%s', (text, items) => {
    expect(parseStringList(text)).toEqual(items);
  });
});
