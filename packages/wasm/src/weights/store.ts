import { bfloatsToFloats, halvesToFloats, SpeedqError } from '@speedq/format';
import { storedBytes } from '@speedq/kernels';
import type { StoredTensor, WeightShard, WeightSource } from '@speedq/kernels';
import { elementCount, EMBEDDING, HEAD } from '@speedq/model';
import type { Heap } from '../heap.ts';
import { COLUMN_TILE } from '../kernels/float.ts';
import { allocatePacked, putBilevel, putSymmetric } from './packed-matrix.ts';
import type { PackedMatrix } from './packed-matrix.ts';

/** A float weight, transposed: [columns, rows], float32, rows of `stride` floats. */
export interface FloatMatrix {
  readonly kind: 'float';
  readonly rows: number;
  readonly columns: number;
  readonly data: number;
  readonly stride: number;
}

export type Matrix = PackedMatrix | FloatMatrix;

interface Entry {
  readonly matrix: Matrix | undefined;
  /** Address of a tensor of one or three dimensions, float32. */
  readonly vector: number;
  readonly size: number;
  /** Rows by the first of each part. */
  readonly loaded: Map<number, number>;
}

/** Rows that float kernels write at once. */
export const padded = (count: number): number => Math.ceil(count / COLUMN_TILE) * COLUMN_TILE;

/** The weights in the kernels' memory, by canonical name. */
export class WeightStore {
  readonly #entries = new Map<string, Entry>();
  readonly #heap: Heap;
  /** Address of zeros, for linears without bias. */
  readonly zeros: number;

  private constructor(heap: Heap, widest: number) {
    this.#heap = heap;
    this.zeros = heap.floats(padded(widest) + COLUMN_TILE);
    heap.u8.fill(0, this.zeros, this.zeros + (padded(widest) + COLUMN_TILE) * 4);
  }

  /**
   * @param widest outputs of the widest linear
   * @throws {SpeedqError} `shape-mismatch`, `missing-tensor`, `out-of-memory`.
   */
  static async load(heap: Heap, source: WeightSource, widest: number): Promise<WeightStore> {
    const store = new WeightStore(heap, widest);
    for await (const shard of source.shards()) store.add(shard);
    for (const [name, { loaded, size }] of store.#entries) {
      const rows = [...loaded.values()].reduce((sum, count) => sum + count, 0);
      if (rows !== size) {
        throw new SpeedqError(
          'missing-tensor',
          `${name}: its parts hold ${rows} of ${size} rows. Fetch the model again.`,
        );
      }
    }
    return store;
  }

  /** A tensor of two or four dimensions as matrix [shape[0], rest]. The head falls back on the embedding. */
  matrix(name: string): Matrix {
    const { matrix } = this.entry(name === HEAD && !this.#entries.has(HEAD) ? EMBEDDING : name);
    if (matrix === undefined) throw new SpeedqError('internal', `${name} was asked for as a matrix.`);
    return matrix;
  }

  /** Address of a vector; of zeros where the name is undefined. */
  vector(name: string | undefined): number {
    return name === undefined ? this.zeros : this.entry(name).vector;
  }

  private entry(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry;
    throw new SpeedqError(
      'missing-tensor',
      `The model lacks ${name}, which its configuration asks for. Fetch it again.`,
    );
  }

  private add({ bytes, tensors }: WeightShard): void {
    const parts = new Map<string, Map<StoredTensor['part'], StoredTensor>>();
    for (const tensor of tensors) {
      check(tensor, bytes.byteLength);
      const key = `${tensor.name} ${tensor.rowOffset}`;
      const known = parts.get(key) ?? new Map<StoredTensor['part'], StoredTensor>();
      parts.set(key, known.set(tensor.part, tensor));
    }
    for (const part of parts.values()) this.put(bytes, part);
  }

  private put(bytes: Uint8Array, parts: ReadonlyMap<StoredTensor['part'], StoredTensor>): void {
    const [{ name, scheme, shape, rows, rowOffset }] = parts.values();
    const entry = this.#entries.get(name) ?? this.allocate(parts.values().next().value!);
    this.#entries.set(name, entry);
    if (entry.loaded.has(rowOffset) || rowOffset + rows > entry.size) {
      throw new SpeedqError(
        'shape-mismatch',
        `${name}: rows ${rowOffset} to ${rowOffset + rows} of ${entry.size} are stored twice or do not exist. ` +
          'Fetch the model again.',
      );
    }
    entry.loaded.set(rowOffset, rows);
    const words = (kind: StoredTensor['part']): ArrayBuffer => {
      const tensor = parts.get(kind);
      if (tensor === undefined) {
        throw new SpeedqError('missing-tensor', `${name} lacks its ${kind}. Fetch the model again.`);
      }
      // Copied: shards align 16-bit tensors to 2 bytes only, and views need more.
      return Uint8Array.from(bytes.subarray(tensor.byteOffset, tensor.byteOffset + tensor.byteLength)).buffer;
    };
    const heap = this.#heap;
    const partShape = [rows, shape[1]] as const;
    if (scheme.kind === 'bilevel') {
      const [codes, meta] = [new Uint32Array(words('codes')), new Uint32Array(words('meta'))];
      putBilevel(heap, entry.matrix as PackedMatrix, rowOffset, { scheme, shape: partShape, codes, meta });
    } else if (scheme.kind === 'symmetric') {
      const [codes, scales] = [new Uint32Array(words('codes')), new Uint16Array(words('scales'))];
      putSymmetric(heap, entry.matrix as PackedMatrix, rowOffset, {
        scheme,
        shape: partShape,
        codes,
        scales,
      });
    } else {
      const values = floats(words('data'), parts.get('data')!.dtype);
      const { matrix } = entry;
      if (matrix?.kind === 'float') transpose(heap.f32, matrix, rowOffset, values);
      else heap.f32.set(values, (entry.vector >>> 2) + rowOffset * elementCount(shape.slice(1)));
    }
  }

  private allocate({ scheme, shape }: StoredTensor): Entry {
    const heap = this.#heap;
    const [size, ...rest] = shape;
    const columns = elementCount(rest);
    const base = { size, vector: 0, loaded: new Map<number, number>() };
    if (scheme.kind !== 'float') return { ...base, matrix: allocatePacked(heap, scheme, size, columns) };
    if (shape.length % 2 === 1) {
      return { ...base, matrix: undefined, vector: heap.floats(padded(size * columns)) };
    }
    const stride = padded(size);
    const matrix = {
      kind: 'float',
      rows: size,
      columns,
      stride,
      data: heap.floats(columns * stride),
    } as const;
    heap.f32.fill(0, matrix.data >>> 2, (matrix.data >>> 2) + columns * stride);
    return { ...base, matrix };
  }
}

function transpose(f32: Float32Array, matrix: FloatMatrix, rowOffset: number, values: Float32Array): void {
  const { columns, stride, data } = matrix;
  const base = (data >>> 2) + rowOffset;
  for (let i = 0, row = 0; i < values.length; row++) {
    for (let column = 0; column < columns; column++) f32[base + column * stride + row] = values[i++];
  }
}

function floats(buffer: ArrayBuffer, dtype: StoredTensor['dtype']): Float32Array {
  if (dtype === 'F32') return new Float32Array(buffer);
  const halves = new Uint16Array(buffer);
  return dtype === 'F16' ? halvesToFloats(halves) : bfloatsToFloats(halves);
}

/** Kernels index by shape alone. @throws {SpeedqError} `shape-mismatch`. */
function check(tensor: StoredTensor, shardBytes: number): void {
  const { name, part, byteOffset, byteLength } = tensor;
  const expected = storedBytes(tensor);
  if (byteLength === expected && byteOffset + byteLength <= shardBytes) return;
  throw new SpeedqError(
    'shape-mismatch',
    `${name}.${part}: expected ${expected} bytes inside a shard of ${shardBytes}, got ${byteLength} at ` +
      `${byteOffset}. Fetch the model again.`,
  );
}
