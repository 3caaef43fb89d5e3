import { SpeedqError } from '@speedq/format';
import { checkImageSize, MAX_IMAGE_BYTES } from './rgb-image.ts';

export type ImageFormat = 'jpeg' | 'png' | 'gif' | 'webp' | 'bmp' | 'avif' | 'heic' | 'tiff' | 'svg' | 'pdf';

/** What the first bytes of a file say, without decoding. Sizes are as stored, before EXIF orientation. */
export interface SniffedImage {
  readonly format: ImageFormat | undefined;
  readonly width?: number;
  readonly height?: number;
}

function ascii(bytes: Uint8Array, start: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(start, start + length));
}

/** Size from a JPEG's start-of-frame segment; undefined if it is not within the bytes. */
function jpegSize(bytes: Uint8Array, view: DataView): { width: number; height: number } | undefined {
  let at = 2;
  while (at + 9 < bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      at++; // fill byte
      continue;
    }
    // C0–CF are frame headers, but for C4 (Huffman tables), C8 (reserved) and CC (arithmetic coding).
    if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      return { height: view.getUint16(at + 5), width: view.getUint16(at + 7) };
    }
    at += 2 + view.getUint16(at + 2);
  }
  return undefined;
}

function webpSize(bytes: Uint8Array, view: DataView): { width: number; height: number } | undefined {
  if (bytes.length < 30) return undefined;
  const chunk = ascii(bytes, 12, 4);
  if (chunk === 'VP8 ') {
    return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
  }
  if (chunk === 'VP8L') {
    const bits = view.getUint32(21, true);
    return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
  }
  if (chunk !== 'VP8X') return undefined;
  const uint24 = (at: number): number => view.getUint16(at, true) + bytes[at + 2] * 65_536;
  return { width: uint24(24) + 1, height: uint24(27) + 1 };
}

/** Recognises a picture file by its magic bytes and, for the common formats, reads its size. */
export function sniffImage(bytes: Uint8Array): SniffedImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) {
    return { format: 'jpeg', ...jpegSize(bytes, view) };
  }
  if (ascii(bytes, 0, 8) === '\x89PNG\r\n\x1a\n') {
    return bytes.length < 24
      ? { format: 'png' }
      : { format: 'png', width: view.getUint32(16), height: view.getUint32(20) };
  }
  const start = ascii(bytes, 0, 4);
  if (start === 'GIF8') {
    if (bytes.length < 10) return { format: 'gif' };
    return { format: 'gif', width: view.getUint16(6, true), height: view.getUint16(8, true) };
  }
  if (start === 'RIFF' && ascii(bytes, 8, 4) === 'WEBP') return { format: 'webp', ...webpSize(bytes, view) };
  if (start.startsWith('BM')) {
    if (bytes.length < 26) return { format: 'bmp' };
    // A negative height means rows from the top down.
    return { format: 'bmp', width: view.getInt32(18, true), height: Math.abs(view.getInt32(22, true)) };
  }
  if (start === 'II*\0' || start === 'MM\0*') return { format: 'tiff' };
  if (start === '%PDF') return { format: 'pdf' };
  if (ascii(bytes, 4, 4) === 'ftyp') {
    return { format: ['avif', 'avis'].includes(ascii(bytes, 8, 4)) ? 'avif' : 'heic' };
  }
  if (/^\uFEFF?\s*<(\?xml|svg|!DOCTYPE svg)/i.test(ascii(bytes, 0, 64))) return { format: 'svg' };
  return { format: undefined };
}

/**
 * Refuses what cannot or must not be decoded before a decoder sees it: unknown or unsupported formats, and
 * sizes beyond the limits (a small file may claim gigabytes of pixels).
 * @throws SpeedqError 'invalid-image'
 */
export function checkImageFile(bytes: Uint8Array, supported: readonly ImageFormat[]): ImageFormat {
  if (bytes.length > MAX_IMAGE_BYTES) {
    throw new SpeedqError(
      'invalid-image',
      `The picture file has ${bytes.length} bytes, the limit is ${MAX_IMAGE_BYTES}. Use a smaller file.`,
    );
  }
  const { format, width, height } = sniffImage(bytes);
  if (format === undefined || !supported.includes(format)) {
    const got =
      bytes.length === 0 ? 'an empty file' : format ? `a ${format.toUpperCase()} file` : describe(bytes);
    throw new SpeedqError(
      'invalid-image',
      `The picture cannot be read: expected ${supported.map((name) => name.toUpperCase()).join(', ')}, got ${got}. ` +
        'Save it as PNG or JPEG and try again.',
    );
  }
  if (width !== undefined && height !== undefined) checkImageSize(width, height);
  return format;
}

function describe(bytes: Uint8Array): string {
  const first = Array.from(bytes.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `${bytes.length} bytes of an unknown kind (they start with ${first})`;
}

/** The error for a file of a known format whose decoder gave up. */
export function undecodable(format: ImageFormat, cause: unknown): SpeedqError {
  return new SpeedqError(
    'invalid-image',
    `The ${format.toUpperCase()} picture cannot be decoded; it is damaged, cut off, or of a rare kind. ` +
      'Open it in an image viewer, save it anew as PNG or JPEG, and try again.',
    { cause },
  );
}

/** Anything a picture file may come as. */
export type ImageSource = Blob | Uint8Array | ArrayBuffer;

/** Its bytes; a Blob beyond the limit is refused unread. @throws SpeedqError 'invalid-image' */
export async function imageBytes(source: ImageSource): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (source.size > MAX_IMAGE_BYTES) {
    throw new SpeedqError(
      'invalid-image',
      `The picture file has ${source.size} bytes, the limit is ${MAX_IMAGE_BYTES}. Use a smaller file.`,
    );
  }
  return new Uint8Array(await source.arrayBuffer());
}
