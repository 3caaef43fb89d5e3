import { SpeedqError } from '@speedq/format';
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';

/** A field that was not kept: where its bytes are, between the quotes if it has them. */
export interface DistantField {
  readonly start: number;
  readonly end: number;
  /** Quotes in it are doubled. */
  readonly isQuoted: boolean;
  /** SHA-256 of the bytes. */
  readonly digest: string;
  /** The text after all, where it has at most `SHORT` bytes. */
  readonly short: string | undefined;
}

/** Up to this many bytes a picture's field is not a picture but the index of the row that has it. */
const SHORT = 64;

export interface ScannedRecord {
  /** Line of the file the record starts in, from 1. */
  readonly line: number;
  /** A distant field is an object. */
  readonly fields: readonly (string | DistantField)[];
}

/** @throws {SpeedqError} `invalid-data`, always. */
export function invalidRow(line: number, problem: string): SpeedqError {
  return new SpeedqError(
    'invalid-data',
    `TSV row ${line}: ${problem}. Fields are separated by tabs; one that holds a tab, quote or line break is ` +
      'put in double quotes, with quotes inside doubled.',
  );
}

const TAB = 9;
const LINE_FEED = 10;
const RETURN = 13;
const QUOTE = 34;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

type State = 'start' | 'plain' | 'quoted' | 'quote seen' | 'return seen';

/** Bytes of the field being read: kept, or counted and hashed. */
class FieldReader {
  private pieces: Buffer[] = [];
  private size = 0;
  private hash: Hash | undefined;
  private start = 0;
  private isQuoted = false;

  begin(start: number, isQuoted: boolean, isDistant: boolean): void {
    this.pieces = [];
    this.size = 0;
    this.start = start;
    this.isQuoted = isQuoted;
    this.hash = isDistant ? createHash('sha256') : undefined;
  }

  take(bytes: Buffer): void {
    this.hash?.update(bytes);
    // Copied: the stream may reuse its buffer.
    if (this.hash === undefined || this.size + bytes.length <= SHORT) this.pieces.push(Buffer.from(bytes));
    this.size += bytes.length;
  }

  /** `end`: offset after the field's last byte. */
  finish(end: number): string | DistantField {
    const { hash, start, isQuoted } = this;
    const text = Buffer.concat(this.pieces).toString('utf8');
    if (hash === undefined) return text;
    return {
      start,
      end,
      isQuoted,
      digest: hash.digest('hex'),
      short: this.size <= SHORT ? text : undefined,
    };
  }
}

/**
 * Records of a tab-separated file with CSV quoting, in one pass that holds one record. Empty lines are skipped.
 * @param isDistant whether the field of a column is only located; asked from the second record on
 * @throws {SpeedqError} `invalid-data` where quotes do not close or text follows a closing quote.
 */
export async function* scanRecords(
  chunks: AsyncIterable<Buffer>,
  isDistant: (column: number) => boolean,
): AsyncGenerator<ScannedRecord, void, void> {
  const reader = new FieldReader();
  // Widened, because endField changes it out of the compiler's sight.
  let state = 'start' as State;
  let fields: (string | DistantField)[] = [];
  let offset = 0;
  let line = 1;
  let firstLine = 1;
  let records = 0;

  const distant = (): boolean => records > 0 && isDistant(fields.length);
  function* endRecord(): Generator<ScannedRecord> {
    if (fields.length > 1 || fields[0] !== '') {
      records++;
      yield { line: firstLine, fields };
    }
    fields = [];
    firstLine = line;
  }

  for await (const chunk of chunks) {
    const skipped = offset === 0 && chunk.subarray(0, 3).equals(BYTE_ORDER_MARK) ? 3 : 0;
    const next = { [TAB]: -1, [LINE_FEED]: -1, [RETURN]: -1 };
    // Each separator is looked for once per chunk and remembered until it is passed.
    const find = (code: keyof typeof next, from: number): number => {
      if (next[code] < from) {
        const found = chunk.indexOf(code, from);
        next[code] = found < 0 ? Infinity : found;
      }
      return next[code];
    };
    let at = skipped;
    while (at < chunk.length) {
      switch (state) {
        case 'return seen':
          state = 'start';
          if (chunk[at] === LINE_FEED) at++;
          break;
        case 'start':
          if (chunk[at] === QUOTE) {
            at++;
            state = 'quoted';
            reader.begin(offset + at, true, distant());
          } else {
            state = 'plain';
            reader.begin(offset + at, false, distant());
          }
          break;
        case 'quoted': {
          const quote = chunk.indexOf(QUOTE, at);
          const end = quote < 0 ? chunk.length : quote;
          const taken = chunk.subarray(at, end);
          for (let i = taken.indexOf(LINE_FEED); i >= 0; i = taken.indexOf(LINE_FEED, i + 1)) line++;
          reader.take(taken);
          at = end;
          if (quote >= 0) {
            at++;
            state = 'quote seen';
          }
          break;
        }
        case 'quote seen':
          if (chunk[at] === QUOTE) {
            reader.take(chunk.subarray(at, at + 1));
            at++;
            state = 'quoted';
            break;
          }
          if (![TAB, LINE_FEED, RETURN].includes(chunk[at])) {
            throw invalidRow(firstLine, `field ${fields.length + 1} goes on after its closing quote`);
          }
          fields.push(reader.finish(offset + at - 1));
          yield* endField(chunk[at++]);
          break;
        case 'plain': {
          const end = Math.min(find(TAB, at), find(LINE_FEED, at), find(RETURN, at), chunk.length);
          reader.take(chunk.subarray(at, end));
          at = end;
          if (end === chunk.length) break;
          fields.push(reader.finish(offset + at));
          yield* endField(chunk[at++]);
          break;
        }
      }
    }
    offset += chunk.length;
  }
  if (state === 'quoted')
    throw invalidRow(firstLine, `the quote opened in field ${fields.length + 1} is never closed`);
  if (state === 'plain') fields.push(reader.finish(offset));
  else if (state === 'quote seen') fields.push(reader.finish(offset - 1));
  else if (state === 'start' && fields.length > 0) fields.push('');
  if (fields.length > 0) yield* endRecord();

  function* endField(separator: number): Generator<ScannedRecord> {
    state = separator === RETURN ? 'return seen' : 'start';
    if (separator === TAB) return;
    line++;
    yield* endRecord();
  }
}
