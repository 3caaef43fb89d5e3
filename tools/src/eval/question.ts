import { SpeedqError } from '@speedq/format';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EvaluationRow } from '../data/index.ts';
import { isMissing } from './table/missing.ts';
import { parseStringList } from './table/python-list.ts';
import { invalidRow } from './table/scan.ts';
import type { Table, TableRow } from './table/table.ts';

/** The words of a question. */
export type QuestionText = Omit<EvaluationRow, 'images' | 'imagePaths'>;

/** A row of a table, ready to be asked; its pictures are read when they are wanted. */
export interface Question extends QuestionText {
  /** Equal for questions about the same pictures; undefined for one without. */
  readonly pictureKey: string | undefined;
  /** Encoded files, in order. @throws {SpeedqError} `invalid-data`. */
  loadPictures(): Promise<Uint8Array[]>;
}

/**
 * The rows as they stand: an empty cell is no value, `image_path` (from `folder`) serves where there is no `image`.
 * @throws {SpeedqError} `invalid-data`: options with a gap, a list of paths that cannot be read.
 */
export function readQuestions(table: Table, folder: string): Question[] {
  return table.rows.map((row) => {
    const question = questionOf(table, row, (cell) => cell === undefined || cell === '');
    const letters = Object.keys(question.options);
    const gap = letters.findIndex((letter, i) => letter !== String.fromCharCode(65 + i));
    if (gap >= 0) {
      const missing = String.fromCharCode(65 + gap);
      throw invalidRow(row.line, `option ${letters[gap]} is there but ${missing} is not`);
    }
    const paths = row.cells.get('image_path') ?? '';
    if (question.pictureKey !== undefined || paths === '') return question;
    return {
      ...question,
      pictureKey: paths,
      loadPictures: () => Promise.all(listOf(paths, row).map((path) => readPicture(join(folder, path), row))),
    };
  });
}

/** The rows as VLMEvalKit sees them: what pandas takes for missing is missing, rows without picture are left out. */
export function readBenchmarkQuestions(table: Table): Question[] {
  return table.rows.flatMap((row) =>
    row.pictureKey === undefined ? [] : [questionOf(table, row, isMissing)],
  );
}

function questionOf(table: Table, row: TableRow, isNone: (cell: string | undefined) => boolean): Question {
  const { index, cells, pictureKey } = row;
  const optional = (name: string): string | undefined =>
    isNone(cells.get(name)) ? undefined : cells.get(name);
  const letters = [...cells.keys()].filter((name) => /^[A-Z]$/.test(name)).sort();
  const options = letters.flatMap((letter) =>
    isNone(cells.get(letter)) ? [] : [[letter, cells.get(letter)!]],
  );
  return {
    index,
    question: cells.get('question')!,
    hint: optional('hint'),
    options: Object.fromEntries(options) as Record<string, string>,
    answer: optional('answer') ?? '',
    category: optional('category'),
    subcategory: optional('l2-category'),
    split: optional('split'),
    group: optional('g_index'),
    pictureKey,
    loadPictures: () => table.readPictures(row),
  };
}

function listOf(cell: string, { line }: TableRow): string[] {
  if (!cell.startsWith('[')) return [cell];
  const list = parseStringList(cell);
  if (list === undefined || list.length === 0) throw invalidRow(line, 'a list of pictures cannot be read');
  return list;
}

function readPicture(path: string, { index }: TableRow): Promise<Uint8Array> {
  return readFile(path).catch((cause: unknown) => {
    throw new SpeedqError(
      'invalid-data',
      `Row ${index}: its picture ${path} cannot be read. Paths are relative to the TSV.`,
      { cause },
    );
  });
}
