import { SpeedqError } from '@speedq/format';

/** One question of a VLMEvalKit-style benchmark. */
export interface EvaluationRow {
  readonly index: string;
  /** Base64 of each picture, references to other rows resolved; empty for a question without picture. */
  readonly images: readonly string[];
  /** Files the pictures come from, where the benchmark names them instead. */
  readonly imagePaths: readonly string[];
  readonly question: string;
  readonly hint?: string;
  /** Option letter → text, in order; empty for an open question. */
  readonly options: Readonly<Record<string, string>>;
  /** '' where the benchmark keeps its answers to itself. */
  readonly answer: string;
  readonly category?: string;
  readonly subcategory?: string;
  readonly split?: string;
  /** Rows of one group are rotations of one question (MMBench's circular evaluation). */
  readonly group?: string;
}

function invalid(row: number, problem: string): SpeedqError {
  return new SpeedqError(
    'invalid-data',
    `TSV row ${row}: ${problem}. Fields are separated by tabs; one that holds a tab, quote or line break is ` +
      'put in double quotes, with quotes inside doubled.',
  );
}

interface RawRecord {
  /** Line of the file the record starts in, from 1. */
  readonly line: number;
  readonly fields: readonly string[];
}

/** Records of a tab-separated text with CSV quoting; empty lines are skipped. */
function* records(text: string): Generator<RawRecord> {
  let line = 1;
  let at = text.startsWith('\uFEFF') ? 1 : 0;
  while (at < text.length) {
    const start = line;
    const fields: string[] = [];
    for (;;) {
      let value: string;
      if (text[at] === '"') {
        value = '';
        let from = at + 1;
        for (;;) {
          const quote = text.indexOf('"', from);
          if (quote < 0)
            throw invalid(start, `the quote opened in field ${fields.length + 1} is never closed`);
          value += text.slice(from, quote);
          at = quote + 1;
          if (text[at] !== '"') break;
          value += '"';
          from = at + 1;
        }
        if (at < text.length && !'\t\r\n'.includes(text[at])) {
          throw invalid(start, `field ${fields.length + 1} goes on after its closing quote`);
        }
      } else {
        let end = at;
        while (end < text.length && text[end] !== '\t' && text[end] !== '\n' && text[end] !== '\r') end++;
        value = text.slice(at, end);
        at = end;
      }
      for (let i = value.indexOf('\n'); i >= 0; i = value.indexOf('\n', i + 1)) line++;
      fields.push(value);
      if (text[at] !== '\t') break;
      at++;
    }
    if (text[at] === '\r') at++;
    if (text[at] === '\n') at++;
    line++;
    if (fields.length > 1 || fields[0] !== '') yield { line: start, fields };
  }
}

/** "['a', 'b']" as pandas writes a list of strings, or the text itself. */
function listOf(value: string, line: number): string[] {
  if (value === '') return [];
  if (!value.startsWith('[')) return [value];
  const items = [...value.matchAll(/'([^']*)'|"([^"]*)"/g)].map((match) => match[1] ?? match[2]);
  if (!value.endsWith(']') || items.length === 0) throw invalid(line, 'a list of pictures cannot be read');
  return items;
}

/** Up to this many characters an `image` is not a picture but the index of the row that has it. */
const longestReference = 64;

/**
 * Reads a VLMEvalKit-style TSV.
 *
 * @throws SpeedqError invalid-data, naming the row: columns missing or repeated, a field too many or too few,
 *   quotes that do not close, an index used twice, a picture that is not base64 or refers to no row, options
 *   with a gap.
 */
export function readTsv(text: string): EvaluationRow[] {
  const all = records(text);
  const header = all.next().value as RawRecord | undefined;
  if (header === undefined) throw invalid(1, 'the file is empty, expected a header');
  const columns = header.fields.map((name) => name.trim());
  const repeated = columns.find((name, i) => columns.indexOf(name) !== i);
  if (repeated !== undefined) throw invalid(1, `the column ${JSON.stringify(repeated)} occurs twice`);
  for (const needed of ['index', 'question']) {
    if (!columns.includes(needed)) {
      throw invalid(1, `the column "${needed}" is missing; there are ${columns.join(', ')}`);
    }
  }
  const letters = columns.filter((name) => /^[A-Z]$/.test(name)).sort();

  const raw: { line: number; cells: Map<string, string> }[] = [];
  const byIndex = new Map<string, Map<string, string>>();
  for (const { line, fields } of all) {
    if (fields.length !== columns.length) {
      throw invalid(line, `${fields.length} fields, expected ${columns.length}`);
    }
    const cells = new Map(columns.map((name, i) => [name, fields[i]]));
    const index = cells.get('index')!;
    if (index === '') throw invalid(line, 'the index is empty');
    if (byIndex.has(index)) throw invalid(line, `the index ${index} occurs twice`);
    byIndex.set(index, cells);
    raw.push({ line, cells });
  }

  function imagesOf(cells: Map<string, string>, line: number): string[] {
    let image = cells.get('image') ?? '';
    if (image !== '' && image.length <= longestReference && !image.startsWith('[')) {
      const target = byIndex.get(image);
      if (target === undefined)
        throw invalid(line, `its picture is that of row ${image}, which does not exist`);
      image = target.get('image') ?? '';
      if (image.length <= longestReference) {
        throw invalid(line, 'its picture is a reference to a row that has none of its own');
      }
    }
    const images = listOf(image, line);
    if (images.some((one) => !/^[A-Za-z0-9+/]+={0,2}\s*$/.test(one)))
      throw invalid(line, 'a picture is not base64');
    return images;
  }

  return raw.map(({ line, cells }) => {
    const given = letters.filter((letter) => (cells.get(letter) ?? '') !== '');
    const gap = given.findIndex((letter, i) => letter !== String.fromCharCode(65 + i));
    if (gap >= 0)
      throw invalid(line, `option ${given[gap]} is there but ${String.fromCharCode(65 + gap)} is not`);
    const optional = (name: string): string | undefined => cells.get(name) || undefined;
    return {
      index: cells.get('index')!,
      images: imagesOf(cells, line),
      imagePaths: listOf(cells.get('image_path') ?? '', line),
      question: cells.get('question')!,
      hint: optional('hint'),
      options: Object.fromEntries(given.map((letter) => [letter, cells.get(letter)!])),
      answer: cells.get('answer') ?? '',
      category: optional('category'),
      subcategory: optional('l2-category'),
      split: optional('split'),
      group: optional('g_index'),
    };
  });
}

function quoted(value: string): string {
  return /["\t\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

/** One line of a TSV, line break included. */
export function tsvLine(fields: readonly string[]): string {
  return `${fields.map(quoted).join('\t')}\n`;
}
