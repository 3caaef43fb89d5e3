import { SpeedqError } from '@speedq/format';
import { elementCount } from '@speedq/model';
import { open } from 'node:fs/promises';

/** Writes GGUF version 3, the file format of llama.cpp (docs/gguf.md of the ggml project). */

/** Types of ggml that are written here: their numbers, and bytes per block of so many weights. */
export const GGML_TYPES = {
  F32: { id: 0, block: 1, bytes: 4 },
  F16: { id: 1, block: 1, bytes: 2 },
  Q4_0: { id: 2, block: 32, bytes: 18 },
  Q4_1: { id: 3, block: 32, bytes: 20 },
  Q8_0: { id: 8, block: 32, bytes: 34 },
  Q3_K: { id: 11, block: 256, bytes: 110 },
} as const;
export type GgmlType = keyof typeof GGML_TYPES;

/** A value of the metadata: its type is not told by JavaScript's. */
export type GgufValue =
  | { readonly type: 'u32' | 'i32' | 'f32'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'i32s' | 'f32s'; readonly value: readonly number[] };

export interface GgufTensor {
  readonly name: string;
  /** Rows first, as everywhere here; the file has them the other way round. */
  readonly shape: readonly number[];
  readonly type: GgmlType;
  /** Bytes of the tensor, when it is written. */
  readonly data: () => Promise<Uint8Array>;
}

const MAGIC = 0x46554747;
const VERSION = 3;
const ALIGNMENT = 32;

function tensorBytes({ name, shape, type }: Pick<GgufTensor, 'name' | 'shape' | 'type'>): number {
  const { block, bytes } = GGML_TYPES[type];
  if (shape.at(-1)! % block === 0) return (elementCount(shape) / block) * bytes;
  throw new SpeedqError(
    'internal',
    `${name}: rows of ${shape.at(-1)} are no multiple of ${type}'s ${block}.`,
  );
}

/** Writes a new file; one tensor is in memory at a time. */
export async function writeGguf(
  path: string,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensor[],
  onTensor?: () => void,
): Promise<void> {
  const file = await open(path, 'wx');
  try {
    let written = 0;
    const write = async (bytes: Uint8Array): Promise<void> => {
      await file.writeFile(bytes);
      written += bytes.length;
    };
    const pad = () => write(new Uint8Array(-written & (ALIGNMENT - 1)));
    await write(header(metadata, tensors));
    await pad();
    for (const tensor of tensors) {
      const bytes = await tensor.data();
      if (bytes.length !== tensorBytes(tensor)) {
        throw new SpeedqError(
          'internal',
          `${tensor.name}: ${bytes.length} bytes, expected ${tensorBytes(tensor)}.`,
        );
      }
      await write(bytes);
      await pad();
      onTensor?.();
    }
  } finally {
    await file.close();
  }
}

function header(metadata: ReadonlyMap<string, GgufValue>, tensors: readonly GgufTensor[]): Uint8Array {
  const out = new ByteWriter();
  out.u32(MAGIC);
  out.u32(VERSION);
  out.u64(tensors.length);
  out.u64(metadata.size);
  for (const [key, value] of metadata) {
    out.string(key);
    out.value(value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    out.string(tensor.name);
    out.u32(tensor.shape.length);
    for (const size of tensor.shape.toReversed()) out.u64(size);
    out.u32(GGML_TYPES[tensor.type].id);
    out.u64(offset);
    offset += Math.ceil(tensorBytes(tensor) / ALIGNMENT) * ALIGNMENT;
  }
  return out.bytes();
}

const VALUE_TYPES = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;

class ByteWriter {
  private buffer = new Uint8Array(1 << 16);
  private view = new DataView(this.buffer.buffer);
  private length = 0;

  bytes(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  u32(value: number): void {
    this.view.setUint32(this.grow(4), value, true);
  }

  u64(value: number): void {
    this.view.setBigUint64(this.grow(8), BigInt(value), true);
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.length);
    const start = this.grow(bytes.length);
    this.buffer.set(bytes, start);
  }

  value(entry: GgufValue): void {
    switch (entry.type) {
      case 'strings':
        this.array('string', entry.value.length);
        for (const text of entry.value) this.string(text);
        return;
      case 'i32s':
      case 'f32s': {
        const type = entry.type === 'i32s' ? 'i32' : 'f32';
        this.array(type, entry.value.length);
        for (const value of entry.value) this.number(type, value);
        return;
      }
      case 'string':
        this.u32(VALUE_TYPES.string);
        this.string(entry.value);
        return;
      case 'bool':
        this.u32(VALUE_TYPES.bool);
        this.view.setUint8(this.grow(1), entry.value ? 1 : 0);
        return;
      case 'u32':
      case 'i32':
      case 'f32':
        this.u32(VALUE_TYPES[entry.type]);
        this.number(entry.type, entry.value);
    }
  }

  private array(type: keyof typeof VALUE_TYPES, length: number): void {
    this.u32(VALUE_TYPES.array);
    this.u32(VALUE_TYPES[type]);
    this.u64(length);
  }

  private number(type: 'u32' | 'i32' | 'f32', value: number): void {
    const start = this.grow(4);
    if (type === 'f32') this.view.setFloat32(start, value, true);
    else this.view.setInt32(start, value, true);
  }

  /** Makes room and returns where it begins. */
  private grow(bytes: number): number {
    const start = this.length;
    this.length += bytes;
    if (this.length > this.buffer.length) {
      const larger = new Uint8Array(Math.max(this.length, 2 * this.buffer.length));
      larger.set(this.buffer);
      this.buffer = larger;
      this.view = new DataView(larger.buffer);
    }
    return start;
  }
}
