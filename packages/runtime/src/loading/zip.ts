/**
 * Reads zip archives by their central directory (PKWARE APPNOTE 6.3.10): one entry at a time, from anywhere in the
 * file. Strict: what a well-meant archive never has is refused, so that nothing has two readings.
 */
import { SpeedqError } from '@speedq/format';

/** A file of this device, or of an archive on it. */
export interface LocalFile {
  readonly size: number;
  stream(): ReadableStream<Uint8Array<ArrayBuffer>>;
}

const END = 0x06054b50;
const END_BYTES = 22;
const ZIP64_LOCATOR = 0x07064b50;
const ZIP64_LOCATOR_BYTES = 20;
const ZIP64_END = 0x06064b50;
const ZIP64_END_BYTES = 56;
const DIRECTORY_ENTRY = 0x02014b50;
const DIRECTORY_ENTRY_BYTES = 46;
const LOCAL_HEADER = 0x04034b50;
const LOCAL_HEADER_BYTES = 30;
const ZIP64_EXTRA = 1;
const STORED = 0;
const DEFLATED = 8;
const ENCRYPTED = 0x0001;
const LONGEST_COMMENT = 0xffff;
const UNKNOWN_16 = 0xffff;
const UNKNOWN_32 = 0xffffffff;

/** A packed model has at most 4,096 files; archives made of folders list those too. */
const MAX_ENTRIES = 8_192;
const MAX_DIRECTORY_BYTES = 4 * 1024 * 1024;

export async function isZip(blob: Blob): Promise<boolean> {
  const start = new DataView(await blob.slice(0, 4).arrayBuffer());
  return start.byteLength === 4 && [LOCAL_HEADER, END].includes(start.getUint32(0, true));
}

/**
 * The files of an archive by their paths; folders are left out. Nothing is unpacked before it is read, and then no
 * more than `size` bytes of it.
 *
 * @throws {SpeedqError} `invalid-archive`, which says what is wrong with it.
 */
export async function readZip(blob: Blob, name: string): Promise<Map<string, LocalFile>> {
  const refuse = (what: string): never => {
    throw new SpeedqError('invalid-archive', `${name} cannot be used: ${what}. Make the archive anew.`);
  };
  const { entries, offset, bytes } = await findDirectory(blob, refuse);
  if (entries > MAX_ENTRIES) refuse(`it has ${entries} entries, more than ${MAX_ENTRIES}`);
  if (bytes > MAX_DIRECTORY_BYTES) refuse(`its list of files has ${bytes} bytes`);
  const view = new DataView(await blob.slice(offset, offset + bytes).arrayBuffer());
  if (view.byteLength !== bytes) refuse('it is cut off');
  const files = new Map<string, LocalFile>();
  const ranges: Range[] = [];
  const paths = new Set<string>();
  let at = 0;
  for (let index = 0; index < entries; index++) {
    const entry = readEntry(view, at, refuse);
    at = entry.end;
    if (paths.has(entry.path)) refuse(`it holds ${entry.path} twice`);
    paths.add(entry.path);
    ranges.push({ start: entry.offset, end: entry.offset + LOCAL_HEADER_BYTES + entry.compressed });
    if (entry.path.endsWith('/')) continue;
    files.set(entry.path, { size: entry.size, stream: () => contents(blob, entry, refuse) });
  }
  if (at !== bytes) refuse('its list of files has another length than it says');
  checkRanges(ranges, offset, refuse);
  return files;
}

type Refuse = (what: string) => never;

interface Range {
  readonly start: number;
  readonly end: number;
}

interface Entry {
  readonly path: string;
  readonly method: number;
  readonly compressed: number;
  readonly size: number;
  /** Of the local header. */
  readonly offset: number;
  /** Of this entry in the directory. */
  readonly end: number;
}

async function findDirectory(
  blob: Blob,
  refuse: Refuse,
): Promise<{ entries: number; offset: number; bytes: number }> {
  const tailStart = Math.max(0, blob.size - END_BYTES - LONGEST_COMMENT);
  const tail = new DataView(await blob.slice(tailStart).arrayBuffer());
  let at = tail.byteLength - END_BYTES;
  // The record ends with the file: a signature inside the comment is none.
  while (at >= 0 && !(tail.getUint32(at, true) === END && commentEnds(tail, at))) at--;
  if (at < 0) refuse('it is no zip archive, or cut off');
  const disks = [tail.getUint16(at + 4, true), tail.getUint16(at + 6, true)];
  const entries = tail.getUint16(at + 10, true);
  const bytes = tail.getUint32(at + 12, true);
  const offset = tail.getUint32(at + 16, true);
  const end = tailStart + at;
  if (entries === UNKNOWN_16 || bytes === UNKNOWN_32 || offset === UNKNOWN_32) {
    return await findZip64Directory(blob, end, refuse);
  }
  if (disks.some((disk) => disk !== 0) || tail.getUint16(at + 8, true) !== entries)
    refuse('it is one of several');
  if (offset + bytes !== end) refuse('its list of files is not where it says');
  return { entries, offset, bytes };
}

function commentEnds(tail: DataView, at: number): boolean {
  return at + END_BYTES + tail.getUint16(at + 20, true) === tail.byteLength;
}

async function findZip64Directory(
  blob: Blob,
  end: number,
  refuse: Refuse,
): Promise<{ entries: number; offset: number; bytes: number }> {
  const locatorStart = end - ZIP64_LOCATOR_BYTES;
  const recordStart = locatorStart - ZIP64_END_BYTES;
  if (recordStart < 0) refuse('it is cut off');
  const view = new DataView(await blob.slice(recordStart, end).arrayBuffer());
  const locator = ZIP64_END_BYTES;
  const isWhole =
    view.getUint32(0, true) === ZIP64_END &&
    view.getUint32(locator, true) === ZIP64_LOCATOR &&
    readUint64(view, locator + 8, refuse) === recordStart;
  if (!isWhole) refuse('its end record is not where it says');
  const entries = readUint64(view, 32, refuse);
  const bytes = readUint64(view, 40, refuse);
  const offset = readUint64(view, 48, refuse);
  if (offset + bytes !== recordStart) refuse('its list of files is not where it says');
  return { entries, offset, bytes };
}

function readEntry(view: DataView, at: number, refuse: Refuse): Entry {
  if (at + DIRECTORY_ENTRY_BYTES > view.byteLength || view.getUint32(at, true) !== DIRECTORY_ENTRY) {
    refuse('its list of files is damaged');
  }
  const nameBytes = view.getUint16(at + 28, true);
  const extraBytes = view.getUint16(at + 30, true);
  const nameStart = at + DIRECTORY_ENTRY_BYTES;
  const extraStart = nameStart + nameBytes;
  const end = extraStart + extraBytes + view.getUint16(at + 32, true);
  if (end > view.byteLength) refuse('its list of files is damaged');
  const path = readPath(view, nameStart, nameBytes, refuse);
  if (view.getUint16(at + 8, true) & ENCRYPTED) refuse(`${path} is encrypted`);
  const method = view.getUint16(at + 10, true);
  if (method !== STORED && method !== DEFLATED)
    refuse(`${path} is compressed by method ${method}, not deflate`);
  const sizes = {
    size: view.getUint32(at + 24, true),
    compressed: view.getUint32(at + 20, true),
    offset: view.getUint32(at + 42, true),
  };
  readZip64Sizes(view, extraStart, extraStart + extraBytes, sizes, refuse);
  if (method === STORED && sizes.size !== sizes.compressed) refuse(`${path} has two sizes`);
  return { path, method, ...sizes, end };
}

function readPath(view: DataView, start: number, bytes: number, refuse: Refuse): string {
  let path: string;
  try {
    path = new TextDecoder('utf-8', { fatal: true }).decode(
      new Uint8Array(view.buffer, view.byteOffset + start, bytes),
    );
  } catch {
    return refuse('it holds a name that is not UTF-8');
  }
  const parts = path.replace(/\/$/, '').split('/');
  // oxlint-disable-next-line no-control-regex -- control characters are what is refused
  if (/[\\:\u0000-\u001f]/.test(path) || parts.some((part) => part === '' || part === '.' || part === '..')) {
    refuse(`it holds a file with the path ${JSON.stringify(path.slice(0, 100))}`);
  }
  return path;
}

/** Sizes that do not fit 32 bits stand in an extra field, those and no others, in this order. */
function readZip64Sizes(
  view: DataView,
  start: number,
  end: number,
  sizes: { size: number; compressed: number; offset: number },
  refuse: Refuse,
): void {
  const large = (['size', 'compressed', 'offset'] as const).filter((key) => sizes[key] === UNKNOWN_32);
  if (large.length === 0) return;
  for (let at = start; at + 4 <= end;) {
    const bytes = view.getUint16(at + 2, true);
    if (at + 4 + bytes > end) break;
    if (view.getUint16(at, true) === ZIP64_EXTRA && bytes >= large.length * 8) {
      for (const [index, key] of large.entries()) sizes[key] = readUint64(view, at + 4 + index * 8, refuse);
      return;
    }
    at += 4 + bytes;
  }
  refuse('it lacks the size of a file');
}

function readUint64(view: DataView, at: number, refuse: Refuse): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) refuse('it claims a size that no file has');
  return Number(value);
}

/** No two entries share bytes: archives that do are how a small file unpacks to a huge one. */
function checkRanges(ranges: Range[], directory: number, refuse: Refuse): void {
  ranges.sort((a, b) => a.start - b.start);
  let end = 0;
  for (const range of ranges) {
    if (range.start < end) refuse('two of its files overlap');
    end = range.end;
  }
  if (end > directory) refuse('a file of it overlaps the list of files');
}

/** The bytes of one entry, never more than it says. */
function contents(
  blob: Blob,
  { path, method, compressed, size, offset }: Entry,
  refuse: Refuse,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
  let length = 0;
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async start() {
      const header = new DataView(await blob.slice(offset, offset + LOCAL_HEADER_BYTES).arrayBuffer());
      if (header.byteLength < LOCAL_HEADER_BYTES || header.getUint32(0, true) !== LOCAL_HEADER) {
        refuse(`${path} is not where it says`);
      }
      const nameStart = offset + LOCAL_HEADER_BYTES;
      const nameEnd = nameStart + header.getUint16(26, true);
      const local = await blob.slice(nameStart, nameEnd).text();
      if (local !== path || header.getUint16(8, true) !== method) refuse(`${path} has two descriptions`);
      const dataStart = nameEnd + header.getUint16(28, true);
      const data = blob.slice(dataStart, dataStart + compressed);
      if (data.size !== compressed) refuse(`${path} is cut off`);
      const stream: ReadableStream<Uint8Array<ArrayBuffer>> =
        method === STORED ? data.stream() : data.stream().pipeThrough(new DecompressionStream('deflate-raw'));
      reader = stream.getReader();
    },
    async pull(controller) {
      const { done, value } = await reader.read().catch(() => refuse(`${path} cannot be unpacked`));
      if (done) {
        if (length !== size) refuse(`${path} has another size than it says`);
        controller.close();
        return;
      }
      length += value.length;
      if (length > size) {
        await reader.cancel();
        refuse(`${path} has another size than it says`);
      }
      controller.enqueue(value);
    },
    cancel: (reason) => reader?.cancel(reason),
  });
}
