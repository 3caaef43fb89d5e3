import {
  FLOAT16,
  FLOAT32,
  SpeedqError,
  bfloatsToFloats,
  declaredBytes,
  halvesToFloats,
  storedTensors,
} from '@speedq/format';
import type { Scheme } from '@speedq/format';
import { EMBEDDING, HEAD, elementCount } from '@speedq/model';
import type { Allocator } from '../engine/allocator.ts';
import { upload } from '../engine/allocator.ts';
import type { Matrix } from '../ops/linear/weight.ts';
import type { StoredTensor, WeightSource } from './source.ts';

/** Bytes that lie in a buffer from `offset` on. */
interface Stored {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

interface Part {
  readonly rows: number;
  codes?: Stored;
  meta?: Stored;
}

interface Entry {
  readonly shape: readonly number[];
  readonly scheme: Scheme;
  readonly parts: Map<number, Part>;
  /** Buffers of the whole tensor, where its parts fit one together. */
  readonly whole: Partial<Record<'codes' | 'meta', GPUBuffer>>;
}

/** The weights on the GPU: matrices as they are stored, everything else as float32. */
export class WeightStore {
  readonly #entries = new Map<string, Entry>();
  readonly #joined = new Map<string, Matrix[]>();
  readonly #joinedVectors = new Map<string, GPUBuffer>();
  readonly #allocator: Allocator;

  private constructor(allocator: Allocator) {
    this.#allocator = allocator;
  }

  /** @throws SpeedqError 'shape-mismatch', 'out-of-memory', or what the source throws. */
  static async load(allocator: Allocator, source: WeightSource): Promise<WeightStore> {
    const store = new WeightStore(allocator);
    const shards = source.shards()[Symbol.asyncIterator]();
    // A function of its own: a loop would hold one shard while it waits for the next.
    const addNext = async (): Promise<boolean> => {
      const { done, value } = await shards.next();
      if (done) return false;
      for (const tensor of value.tensors) store.add(tensor, value.bytes);
      return true;
    };
    while (await addNext()) {
      // Lets the staging copies of this shard go before the next one comes.
      await allocator.device.queue.onSubmittedWorkDone();
    }
    return store;
  }

  /** A store without contents, for its size. Only `byteOffset` of the tensors is not looked at. */
  static measure(allocator: Allocator, tensors: Iterable<StoredTensor>): WeightStore {
    const store = new WeightStore(allocator);
    for (const tensor of tensors) store.allocate(tensor);
    return store;
  }

  /** A tensor of two or four dimensions as matrix [shape[0], rest]. The head falls back on the embedding. */
  matrix(name: string): Matrix {
    const entry = this.entry(name === HEAD && !this.#entries.has(HEAD) ? EMBEDDING : name);
    const [rows, ...rest] = entry.shape;
    const parts = [...entry.parts]
      .map(([rowOffset, part]) => ({ rowOffset, ...part }))
      .sort((a, b) => a.rowOffset - b.rowOffset);
    let next = 0;
    for (const { rowOffset, rows: partRows } of parts) {
      if (rowOffset !== next) break;
      next += partRows;
    }
    const complete = parts.every(
      ({ codes, meta }) => codes !== undefined && (entry.scheme.kind === 'float' || meta !== undefined),
    );
    if (next !== rows || !complete) {
      throw new SpeedqError(
        'missing-tensor',
        `${name}: its parts hold ${next} of ${rows} rows, or codes without what decodes them. Fetch the model again.`,
      );
    }
    const { codes: wholeCodes, meta: wholeMeta } = entry.whole;
    const description = { name, scheme: entry.scheme, rows, columns: elementCount(rest) };
    if (wholeCodes !== undefined) {
      return { ...description, parts: [{ rowOffset: 0, rows, codes: wholeCodes, meta: wholeMeta }] };
    }
    return {
      ...description,
      parts: parts.map(({ codes, meta, ...part }) => ({
        ...part,
        codes: codes!.buffer,
        meta: meta?.buffer,
      })),
    };
  }

  /** Rows of a matrix, or elements of a vector. */
  rowsOf(name: string): number {
    return this.entry(name).shape[0];
  }

  /**
   * The rows of several matrices over the same columns. Those of one scheme are moved to one buffer, so that one
   * dispatch computes them; the others stay apart. Ask for the same names each time: joined matrices are
   * no longer there by themselves.
   */
  joined(names: readonly string[]): Matrix[] {
    if (names.length === 1) return [this.matrix(names[0])];
    const key = names.join();
    let joined = this.#joined.get(key);
    if (joined === undefined) {
      joined = this.join(names);
      this.#joined.set(key, joined);
    }
    return joined;
  }

  /** The biases of joined matrices one after another, zero where one has none; undefined if none has any. */
  joinedVector(
    parts: readonly { readonly name: string | undefined; readonly rowsOf: string }[],
  ): GPUBuffer | undefined {
    const present = parts.filter(({ name }) => name !== undefined);
    if (present.length === 0) return undefined;
    if (parts.length === 1) return this.vector(parts[0].name!);
    const key = parts.map(({ name }) => name).join();
    let joined = this.#joinedVectors.get(key);
    if (joined === undefined) {
      const rows = parts.map((part) => this.rowsOf(part.rowsOf));
      const total = rows.reduce((sum, count) => sum + count, 0);
      joined = this.#allocator.storage(key, total * 4, 'weights');
      const encoder = this.#allocator.device.createCommandEncoder();
      let offset = 0;
      for (const [i, { name }] of parts.entries()) {
        if (name !== undefined) encoder.copyBufferToBuffer(this.vector(name), 0, joined, offset, rows[i] * 4);
        offset += rows[i] * 4;
      }
      this.#allocator.device.queue.submit([encoder.finish()]);
      for (const { name } of present) this.#allocator.free(this.vector(name!));
      this.#joinedVectors.set(key, joined);
    }
    return joined;
  }

  /** A tensor of one or three dimensions, float32. */
  vector(name: string): GPUBuffer {
    return this.entry(name).parts.get(0)!.codes!.buffer;
  }

  private join(names: readonly string[]): Matrix[] {
    const matrices = names.map((name) => this.matrix(name));
    const stored = names.map((name) => this.entry(name));
    const sizes = (['codes', 'meta'] as const).map((kind) =>
      stored.map(({ parts }) => [...parts.values()].reduce((sum, part) => sum + (part[kind]?.bytes ?? 0), 0)),
    );
    const fits = sizes.every(
      (bytes) =>
        bytes.every((size) => size % 4 === 0) &&
        bytes.reduce((sum, size) => sum + size, 0) <= this.#allocator.limit,
    );
    const [first] = matrices;
    const alike = matrices.every(
      ({ scheme, columns, rows, parts }) =>
        JSON.stringify(scheme) === JSON.stringify(first.scheme) &&
        columns === first.columns &&
        // programs address rows by four
        rows % 4 === 0 &&
        parts.length === 1,
    );
    if (!fits || !alike) return matrices;
    const { device } = this.#allocator;
    const encoder = device.createCommandEncoder();
    const gather = (kind: 'codes' | 'meta', bytes: readonly number[]): GPUBuffer | undefined => {
      const total = bytes.reduce((sum, size) => sum + size, 0);
      if (total === 0) return undefined;
      const target = this.#allocator.storage(`${names.join(' + ')} ${kind}`, total, 'weights');
      let offset = 0;
      for (const [i, { parts }] of matrices.entries()) {
        encoder.copyBufferToBuffer(parts[0][kind]!, 0, target, offset, bytes[i]);
        offset += bytes[i];
      }
      return target;
    };
    const codes = gather('codes', sizes[0])!;
    const meta = gather('meta', sizes[1]);
    device.queue.submit([encoder.finish()]);
    for (const { parts } of matrices) {
      this.#allocator.free(parts[0].codes);
      if (parts[0].meta) this.#allocator.free(parts[0].meta);
    }
    const rows = matrices.reduce((sum, matrix) => sum + matrix.rows, 0);
    return [{ ...first, name: names.join(' + '), rows, parts: [{ rowOffset: 0, rows, codes, meta }] }];
  }

  private entry(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry === undefined) {
      throw new SpeedqError(
        'missing-tensor',
        `The model lacks ${name}, which its configuration asks for. Check the folder with "speedq verify", or fetch it again.`,
      );
    }
    return entry;
  }

  private add(tensor: StoredTensor, shard: Uint8Array): void {
    const { name, part, byteOffset, byteLength, dtype } = tensor;
    if (byteOffset + byteLength > shard.byteLength) {
      throw new SpeedqError(
        'shape-mismatch',
        `${name}.${part}: ${byteLength} bytes at ${byteOffset} lie beyond a shard of ${shard.byteLength}. Fetch the model again.`,
      );
    }
    const bytes = shard.subarray(byteOffset, byteOffset + byteLength);
    const { buffer, offset } = this.allocate(tensor);
    upload(this.#allocator.device, buffer, isWidened(tensor) ? widen(bytes, dtype) : bytes, offset);
  }

  /** Where the tensor's bytes go. Parts of a tensor share a buffer unless it would be too large. */
  private allocate(tensor: StoredTensor): Stored {
    const { name, part, shape, rowOffset, rows, byteLength, dtype } = tensor;
    checkSize(tensor);
    const isData = part === 'data';
    const scheme = isData ? (dtype === 'F16' && !isWidened(tensor) ? FLOAT16 : FLOAT32) : tensor.scheme;
    const bytes = isWidened(tensor) ? byteLength * 2 : byteLength;
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = { shape, scheme, parts: new Map(), whole: {} };
      this.#entries.set(name, entry);
    }
    let stored = entry.parts.get(rowOffset);
    if (stored === undefined) {
      stored = { rows };
      entry.parts.set(rowOffset, stored);
    }
    const kind = part === 'meta' || part === 'scales' ? 'meta' : 'codes';
    if (stored[kind] !== undefined || stored.rows !== rows) {
      throw new SpeedqError(
        'shape-mismatch',
        `${name}: row ${rowOffset} is stored twice. Fetch the model again.`,
      );
    }
    const rowBytes = bytes / rows;
    // Buffers are written by words, which the format's parts, split at multiples of 16 rows, respect.
    const offset = rowOffset * rowBytes;
    const fits = rowBytes * shape[0] <= this.#allocator.limit;
    if (fits && offset % 4 !== 0) {
      throw new SpeedqError(
        'shape-mismatch',
        `${name}.${part}: a part begins at row ${rowOffset}, expected a multiple of 16. Pack the model again.`,
      );
    }
    const label = `${name}.${part}`;
    if (fits) {
      entry.whole[kind] ??= this.#allocator.storage(label, rowBytes * shape[0], 'weights');
      return (stored[kind] = { buffer: entry.whole[kind], offset, bytes });
    }
    return (stored[kind] = { buffer: this.#allocator.storage(label, bytes, 'weights'), offset: 0, bytes });
  }
}

/** Everything but matrices in half precision is kept as float32. */
function isWidened({ part, shape, dtype }: StoredTensor): boolean {
  return part === 'data' && (dtype === 'BF16' || (dtype === 'F16' && shape.length % 2 === 1));
}

function widen(bytes: Uint8Array, dtype: StoredTensor['dtype']): Uint8Array {
  // copied because shards align 16-bit tensors to 2 bytes only, and views need it relative to the buffer
  const halves = new Uint16Array(Uint8Array.from(bytes).buffer);
  return new Uint8Array((dtype === 'F16' ? halvesToFloats(halves) : bfloatsToFloats(halves)).buffer);
}

/** Kernels index by shape alone: a short buffer would read as zeros instead of failing. */
function checkSize(tensor: StoredTensor): void {
  const { name, part, shape, rows, byteLength } = tensor;
  const expected = storedBytes(tensor);
  if (byteLength !== expected) {
    throw new SpeedqError(
      'shape-mismatch',
      `${name}.${part}: expected ${expected} bytes for ${rows} rows of [${shape.join(', ')}], got ${byteLength}. ` +
        'Fetch the model again.',
    );
  }
}

/** Bytes that a tensor, or a row part of it, takes by its shape and scheme (docs/format.md). */
export function storedBytes({
  name,
  part,
  scheme,
  shape,
  rows,
  dtype,
}: Pick<StoredTensor, 'name' | 'part' | 'scheme' | 'shape' | 'rows' | 'dtype'>): number {
  if (part === 'data') return rows * elementCount(shape.slice(1)) * (dtype === 'F32' ? 4 : 2);
  const stored = storedTensors(name, scheme, shape, undefined, rows).find(({ kind }) => kind === part);
  return stored === undefined ? NaN : declaredBytes(stored);
}
