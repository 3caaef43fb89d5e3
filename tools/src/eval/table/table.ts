import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { parseStringList } from './python-list.ts';
import { invalidRow, scanRecords } from './scan.ts';
import type { DistantField, ScannedRecord } from './scan.ts';

export interface TableRow {
  /** Line of the file the row starts in, from 1. */
  readonly line: number;
  readonly index: string;
  /** By column; the picture is not among them. */
  readonly cells: ReadonlyMap<string, string>;
  /** Equal for rows that show the same; undefined for a row without picture. */
  readonly pictureKey: string | undefined;
}

const PICTURE = 'image';
const CHUNK_BYTES = 1 << 20;

/**
 * A VLMEvalKit-style TSV of any size: its words in memory, its pictures read from the file when they are asked
 * for. An `image` is base64, a list literal of base64 strings, or, at 64 characters or less, the index of the
 * row that has it.
 */
export class Table {
  /** In the order of the file, the picture's among them. */
  readonly columns: readonly string[];
  readonly rows: readonly TableRow[];
  /** SHA-256 of the file. */
  readonly sha256: string;
  private readonly file: FileHandle;
  private readonly pictures: ReadonlyMap<string, { readonly line: number; readonly field: DistantField }>;

  private constructor(
    file: FileHandle,
    columns: readonly string[],
    rows: readonly TableRow[],
    pictures: Table['pictures'],
    sha256: string,
  ) {
    this.file = file;
    this.columns = columns;
    this.rows = rows;
    this.pictures = pictures;
    this.sha256 = sha256;
  }

  /**
   * @throws {SpeedqError} `invalid-data`, naming the row: columns missing or repeated, a field too many or too few,
   *   quotes that do not close, an index used twice, a picture that refers to no row.
   */
  static async open(path: string): Promise<Table> {
    const file = await open(path);
    try {
      return await readTable(path, (...found) => new Table(file, ...found));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Encoded files, in order. @throws {SpeedqError} `invalid-data` where they are not base64. */
  async readPictures({ line, pictureKey }: TableRow): Promise<Uint8Array[]> {
    if (pictureKey === undefined) return [];
    const { field } = this.pictures.get(pictureKey)!;
    const bytes = Buffer.alloc(field.end - field.start);
    await this.file.read(bytes, 0, bytes.length, field.start);
    const raw = bytes.toString('latin1');
    const text = (field.isQuoted ? raw.replaceAll('""', '"') : raw).trim();
    const list = text.startsWith('[') ? parseStringList(text) : [text];
    if (list === undefined || list.length === 0) throw invalidRow(line, 'a list of pictures cannot be read');
    return list.map((item) => {
      const decoded = Buffer.from(item, 'base64');
      // Buffer skips what is no base64: a text of another length was none.
      const expected = Math.floor((item.replace(/\s|=+\s*$/g, '').length * 3) / 4);
      if (decoded.length !== expected || decoded.length === 0)
        throw invalidRow(line, 'a picture is not base64');
      return decoded;
    });
  }

  close(): Promise<void> {
    return this.file.close();
  }
}

async function readTable(
  path: string,
  create: (
    columns: readonly string[],
    rows: readonly TableRow[],
    pictures: Table['pictures'],
    sha256: string,
  ) => Table,
): Promise<Table> {
  const hash = createHash('sha256');
  async function* chunks(): AsyncGenerator<Buffer> {
    for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
      hash.update(chunk as Buffer);
      yield chunk as Buffer;
    }
  }
  let columns: string[] | undefined;
  let pictureColumn = -1;
  const found: Omit<TableRow, 'pictureKey'>[] = [];
  const lines = new Map<string, number>();
  const fields = new Map<string, DistantField>();
  for await (const record of scanRecords(chunks(), (column) => column === pictureColumn)) {
    if (columns === undefined) {
      columns = readHeader(record);
      pictureColumn = columns.indexOf(PICTURE);
      continue;
    }
    const row = readRow(record, columns);
    if (lines.has(row.index)) throw invalidRow(row.line, `the index ${row.index} occurs twice`);
    lines.set(row.index, row.line);
    found.push(row);
    if (pictureColumn >= 0) fields.set(row.index, record.fields[pictureColumn] as DistantField);
  }
  if (columns === undefined) throw invalidRow(1, 'the file is empty, expected a header');
  const pictures = new Map<string, { line: number; field: DistantField }>();
  const rows = found.map((row): TableRow => {
    const field = ownerField(row, fields);
    if (field === undefined) return { ...row, pictureKey: undefined };
    if (!pictures.has(field.digest)) pictures.set(field.digest, { line: row.line, field });
    return { ...row, pictureKey: field.digest };
  });
  return create(columns, rows, pictures, hash.digest('hex'));
}

function readHeader({ fields }: ScannedRecord): string[] {
  const columns = fields.map((name) => (name as string).trim());
  const repeated = columns.find((name, i) => columns.indexOf(name) !== i);
  if (repeated !== undefined) throw invalidRow(1, `the column ${JSON.stringify(repeated)} occurs twice`);
  for (const needed of ['index', 'question']) {
    if (columns.includes(needed)) continue;
    throw invalidRow(1, `the column "${needed}" is missing; there are ${columns.join(', ')}`);
  }
  return columns;
}

function readRow({ line, fields }: ScannedRecord, columns: readonly string[]): Omit<TableRow, 'pictureKey'> {
  if (fields.length !== columns.length) {
    throw invalidRow(line, `${fields.length} fields, expected ${columns.length}`);
  }
  const cells = new Map<string, string>();
  columns.forEach((name, i) => {
    const field = fields[i];
    if (typeof field === 'string') cells.set(name, field);
  });
  const index = cells.get('index')!;
  if (index === '') throw invalidRow(line, 'the index is empty');
  return { line, index, cells };
}

/** The field that holds a row's picture: its own, or that of the row it names. */
function ownerField(
  { line, index }: Omit<TableRow, 'pictureKey'>,
  fields: ReadonlyMap<string, DistantField>,
): DistantField | undefined {
  const own = fields.get(index);
  if (own === undefined || own.short === '') return undefined;
  if (own.short === undefined || own.short.startsWith('[')) return own;
  const named = fields.get(own.short);
  if (named === undefined)
    throw invalidRow(line, `its picture is that of row ${own.short}, which does not exist`);
  if (named.short !== undefined) {
    throw invalidRow(line, 'its picture is a reference to a row that has none of its own');
  }
  return named;
}
