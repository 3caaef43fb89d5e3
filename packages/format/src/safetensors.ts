import { SpeedqError } from './errors.ts';
import { bfloatsToFloats, halvesToFloats } from './float16.ts';
import { DATA_ALIGNMENT, MAX_HEADER_BYTES } from './limits.ts';
import { parseHeaderJson } from './safetensors-header.ts';
import type { RawHeader } from './safetensors-header.ts';

/**
 * Strict reader and writer of the safetensors format: u64 header size, JSON header, data without holes or
 * overlaps. The reader needs only the header and the file's size, so that tensors can be fetched one by one.
 */

const BYTES_PER_ELEMENT = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

export type SafetensorsDtype = keyof typeof BYTES_PER_ELEMENT;

export interface TensorInfo {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface SafetensorsHeader {
  /** By name, in the order of the header. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: ReadonlyMap<string, string>;
  /** First byte of the data section. */
  readonly dataOffset: number;
}

/** The size prefix that tells how much of the file parseSafetensorsHeader needs. */
export const SIZE_PREFIX_BYTES = 8;

/**
 * Bytes from the start of the file to the end of its header, from (at least) its first 8 bytes.
 * Throws `file-truncated` where the file ends before, `invalid-safetensors` on an absurd size.
 */
export function safetensorsHeaderBytes(
  prefix: Uint8Array,
  fileBytes: number,
  file = 'safetensors file',
): number {
  if (prefix.length < SIZE_PREFIX_BYTES || fileBytes < SIZE_PREFIX_BYTES) {
    throw new SpeedqError(
      'file-truncated',
      `${file}: ${Math.min(prefix.length, fileBytes)} bytes are too few for a safetensors file. Download it again.`,
    );
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  const low = view.getUint32(0, true);
  const high = view.getUint32(4, true);
  if (high !== 0 || low > MAX_HEADER_BYTES) {
    const size = (BigInt(high) << 32n) | BigInt(low);
    throw new SpeedqError(
      'invalid-safetensors',
      `${file}: header size ${size} exceeds the limit of ${MAX_HEADER_BYTES}. This is not a safetensors file.`,
    );
  }
  if (low < 2) throw new SpeedqError('invalid-safetensors', `${file}: header size ${low} is too small.`);
  if (SIZE_PREFIX_BYTES + low > fileBytes) {
    throw new SpeedqError(
      'file-truncated',
      `${file}: the header needs ${SIZE_PREFIX_BYTES + low} bytes, the file has ${fileBytes}. Download it again.`,
    );
  }
  return SIZE_PREFIX_BYTES + low;
}

/**
 * Reads and checks the header. `prefix` holds at least safetensorsHeaderBytes(…) bytes of a file of
 * `fileBytes`. Throws `invalid-safetensors`, or `file-truncated` where the data ends early.
 */
export function parseSafetensorsHeader(
  prefix: Uint8Array,
  fileBytes: number,
  file = 'safetensors file',
): SafetensorsHeader {
  const fail = (message: string): never => {
    throw new SpeedqError('invalid-safetensors', `${file}: ${message}. Convert or download the file again.`);
  };
  const dataOffset = safetensorsHeaderBytes(prefix, fileBytes, file);
  if (prefix.length < dataOffset) {
    throw new SpeedqError(
      'file-truncated',
      `${file}: expected ${dataOffset} bytes of header, got ${prefix.length}.`,
    );
  }
  let text: string;
  try {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    text = decoder.decode(prefix.subarray(SIZE_PREFIX_BYTES, dataOffset));
  } catch {
    return fail('the header is not UTF-8');
  }
  return layout(parseHeaderJson(text, fail), dataOffset, fileBytes, file, fail);
}

function layout(
  raw: RawHeader,
  dataOffset: number,
  fileBytes: number,
  file: string,
  fail: (message: string) => never,
): SafetensorsHeader {
  const tensors = new Map<string, TensorInfo>();
  for (const { name, dtype, shape, begin, end } of raw.tensors) {
    if (!isDtype(dtype)) return fail(`tensor "${name}" has the unknown dtype "${dtype}"`);
    let bytes: number = BYTES_PER_ELEMENT[dtype];
    for (const size of shape) bytes *= size;
    if (!Number.isSafeInteger(bytes)) fail(`the size of tensor "${name}" overflows`);
    if (begin > end) fail(`tensor "${name}" ends (${end}) before it begins (${begin})`);
    if (end - begin !== bytes) {
      fail(
        `tensor "${name}" (${dtype} [${shape.join(', ')}]) needs ${bytes} bytes, its offsets span ${end - begin}`,
      );
    }
    tensors.set(name, { name, dtype, shape, offset: dataOffset + begin, bytes });
  }
  let expected = dataOffset;
  const byOffset = [...tensors.values()].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  for (const { name, offset, bytes } of byOffset) {
    if (offset < expected) fail(`tensor "${name}" overlaps the one before it`);
    if (offset > expected) fail(`${offset - expected} unused bytes before tensor "${name}"`);
    expected = offset + bytes;
  }
  if (expected > fileBytes) {
    throw new SpeedqError(
      'file-truncated',
      `${file}: expected ${expected} bytes, the file has ${fileBytes}. Download it again.`,
    );
  }
  if (expected < fileBytes) fail(`${fileBytes - expected} bytes after the last tensor`);
  return { tensors, metadata: raw.metadata, dataOffset };
}

function isDtype(dtype: string): dtype is SafetensorsDtype {
  return Object.hasOwn(BYTES_PER_ELEMENT, dtype);
}

/** Header of a file that is wholly in memory. */
export function parseSafetensors(bytes: Uint8Array, file?: string): SafetensorsHeader {
  return parseSafetensorsHeader(bytes, bytes.length, file);
}

/** The tensor's entry, or `missing-tensor`. */
export function requireTensor(
  header: SafetensorsHeader,
  name: string,
  file = 'safetensors file',
): TensorInfo {
  const info = header.tensors.get(name);
  if (info === undefined) {
    throw new SpeedqError('missing-tensor', `${file}: tensor "${name}" is missing. Is this the right file?`);
  }
  return info;
}

/** The tensor's bytes inside a file that is wholly in memory; a view, not a copy. */
export function tensorBytes(file: Uint8Array, info: TensorInfo): Uint8Array {
  return file.subarray(info.offset, info.offset + info.bytes);
}

/** Float values of a tensor's bytes; F64, F16 and BF16 are converted. Throws `unsupported` on other dtypes. */
export function tensorToFloats(bytes: Uint8Array, dtype: SafetensorsDtype): Float32Array {
  switch (dtype) {
    case 'F32':
      return bytesAs(Float32Array, bytes);
    case 'F16':
      return halvesToFloats(bytesAs(Uint16Array, bytes));
    case 'BF16':
      return bfloatsToFloats(bytesAs(Uint16Array, bytes));
    case 'F64':
      return Float32Array.from(bytesAs(Float64Array, bytes));
    default:
      throw new SpeedqError('unsupported', `A tensor of dtype ${dtype} does not hold floats.`);
  }
}

interface TypedArrayConstructor<T> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, offset: number, length: number): T;
}

/** A typed view of bytes; a copy where they are not aligned for it. */
export function bytesAs<T>(type: TypedArrayConstructor<T>, bytes: Uint8Array): T {
  const aligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  return new type(aligned.buffer, aligned.byteOffset, aligned.byteLength / type.BYTES_PER_ELEMENT);
}

export interface TensorDeclaration {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
}

export interface TensorData extends TensorDeclaration {
  readonly data: ArrayBufferView;
}

/** Bytes of a tensor's data. */
export function declaredBytes({ dtype, shape }: TensorDeclaration): number {
  return shape.reduce((product, size) => product * size, BYTES_PER_ELEMENT[dtype]);
}

/**
 * Size prefix and header for tensors stored in the order given, padded with spaces so that the data starts at a
 * multiple of 256 bytes. Throws `invalid-safetensors` on a duplicate name.
 */
export function safetensorsHeader(
  tensors: readonly TensorDeclaration[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const names = new Set<string>();
  const entries: string[] = [];
  if (Object.keys(metadata).length > 0) entries.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let offset = 0;
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor;
    if (names.has(name) || name === '__metadata__') {
      throw new SpeedqError('invalid-safetensors', `Cannot write two tensors named "${name}".`);
    }
    names.add(name);
    const end = offset + declaredBytes(tensor);
    entries.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, end] })}`);
    offset = end;
  }
  const json = new TextEncoder().encode(`{${entries.join(',')}}`);
  const total = Math.ceil((SIZE_PREFIX_BYTES + json.length) / DATA_ALIGNMENT) * DATA_ALIGNMENT;
  const header = new Uint8Array(total).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(total - SIZE_PREFIX_BYTES), true);
  header.set(json, SIZE_PREFIX_BYTES);
  return header;
}

/** A whole safetensors file. Throws `shape-mismatch` where data and declaration differ in size. */
export function writeSafetensors(
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const header = safetensorsHeader(tensors, metadata);
  const file = new Uint8Array(tensors.reduce((sum, tensor) => sum + declaredBytes(tensor), header.length));
  file.set(header);
  let offset = header.length;
  for (const tensor of tensors) {
    const { data, name } = tensor;
    const expected = declaredBytes(tensor);
    if (data.byteLength !== expected) {
      throw new SpeedqError(
        'shape-mismatch',
        `${name}: ${tensor.dtype} [${tensor.shape.join(', ')}] needs ${expected} bytes, got ${data.byteLength}.`,
      );
    }
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += expected;
  }
  return file;
}
