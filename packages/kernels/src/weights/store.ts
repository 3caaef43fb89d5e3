import {
  FLOAT16,
  FLOAT32,
  SpeedqError,
  bfloatsToFloats,
  bilevelLayout,
  halvesToFloats,
} from '@speedq/format';
import type { Scheme } from '@speedq/format';
import { EMBEDDING, HEAD, elementCount } from '@speedq/model';
import type { Allocator } from '../engine/allocator.ts';
import { upload } from '../engine/allocator.ts';
import type { Matrix } from '../ops/linear/weight.ts';
import type { StoredTensor, WeightSource } from './source.ts';

interface Part {
  rows: number;
  codes?: GPUBuffer;
  meta?: GPUBuffer;
}

interface Entry {
  readonly shape: readonly number[];
  readonly scheme: Scheme;
  readonly parts: Map<number, Part>;
}

/** The weights on the GPU: matrices as they are stored, everything else as float32. */
export class WeightStore {
  readonly #entries = new Map<string, Entry>();
  readonly #allocator: Allocator;

  private constructor(allocator: Allocator) {
    this.#allocator = allocator;
  }

  /** @throws SpeedqError 'shape-mismatch', 'out-of-memory', or what the source throws. */
  static async load(allocator: Allocator, source: WeightSource): Promise<WeightStore> {
    const store = new WeightStore(allocator);
    for await (const { bytes, tensors } of source.shards()) {
      for (const tensor of tensors) store.add(tensor, bytes);
      // Lets the staging copies of this shard go before the next one comes.
      await allocator.device.queue.onSubmittedWorkDone();
    }
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
    return {
      name,
      scheme: entry.scheme,
      rows,
      columns: elementCount(rest),
      parts: parts.map(({ codes, ...part }) => ({ ...part, codes: codes! })),
    };
  }

  /** A tensor of one or three dimensions, float32. */
  vector(name: string): GPUBuffer {
    return this.entry(name).parts.get(0)!.codes!;
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
    const { name, part, shape, rowOffset, rows, byteOffset, byteLength, dtype } = tensor;
    checkSize(tensor, shard.byteLength);
    let bytes = shard.subarray(byteOffset, byteOffset + byteLength);
    let { scheme } = tensor;
    if (part === 'data') {
      const isMatrix = shape.length % 2 === 0;
      if (dtype === 'BF16' || (dtype === 'F16' && !isMatrix)) bytes = widen(bytes, dtype);
      scheme = dtype === 'F16' && isMatrix ? FLOAT16 : FLOAT32;
    }
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = { shape, scheme, parts: new Map() };
      this.#entries.set(name, entry);
    }
    let stored = entry.parts.get(rowOffset);
    if (stored === undefined) {
      stored = { rows };
      entry.parts.set(rowOffset, stored);
    }
    const key = part === 'meta' || part === 'scales' ? 'meta' : 'codes';
    if (stored[key] !== undefined || stored.rows !== rows) {
      throw new SpeedqError(
        'shape-mismatch',
        `${name}: row ${rowOffset} is stored twice. Fetch the model again.`,
      );
    }
    const buffer = this.#allocator.storage(`${name}.${part}`, bytes.byteLength);
    upload(this.#allocator.device, buffer, bytes);
    stored[key] = buffer;
  }
}

function widen(bytes: Uint8Array, dtype: 'F16' | 'BF16'): Uint8Array {
  // copied because shards align 16-bit tensors to 2 bytes only, and views need it relative to the buffer
  const halves = new Uint16Array(Uint8Array.from(bytes).buffer);
  return new Uint8Array((dtype === 'F16' ? halvesToFloats(halves) : bfloatsToFloats(halves)).buffer);
}

/** Kernels index by shape alone: a short buffer would read as zeros instead of failing. */
function checkSize(
  { name, part, scheme, shape, rows, byteOffset, byteLength, dtype }: StoredTensor,
  shardBytes: number,
): void {
  const elements = rows * elementCount(shape.slice(1));
  const expected = {
    data: () => elements * (dtype === 'F32' ? 4 : 2),
    codes: () => (scheme.kind === 'float' ? NaN : (elements * scheme.bits) / 8),
    scales: () => (elements / 32) * 2,
    meta: () =>
      scheme.kind === 'bilevel'
        ? (elements / scheme.groupSize / scheme.scaleGroupSize) * bilevelLayout(scheme).metaWords * 4
        : NaN,
  }[part]();
  if (byteLength !== expected || byteOffset + byteLength > shardBytes) {
    throw new SpeedqError(
      'shape-mismatch',
      `${name}.${part}: expected ${expected} bytes for ${rows} rows of [${shape.join(', ')}], got ${byteLength} ` +
        `at ${byteOffset} of ${shardBytes}. Fetch the model again.`,
    );
  }
}
