import type { InternVLConfig } from '@speedq/model';
import type { Allocator } from '../engine/allocator.ts';
import { withErrorScopes } from '../engine/errors.ts';
import { BufferRef } from '../engine/recorder.ts';
import type { KeyValueFormat } from '../ops/kv-cache/format.ts';
import { cacheRowWords } from '../ops/kv-cache/format.ts';
import type { LayerCache } from '../ops/rope-cache/record.ts';
import { ropeTable } from '../ops/rope-cache/table.ts';

/** Tokens there is room for at the start: a short conversation, or one picture of one tile. */
const FIRST_CAPACITY = 512;

/** Keys and values of all layers; it grows by doubling, so that a short conversation takes little memory. */
export class KeyValueCache {
  readonly layers: readonly (LayerCache & { readonly keys: BufferRef; readonly values: BufferRef })[];
  readonly #allocator: Allocator;
  readonly #maxContext: number;
  readonly #rowBytes: number;
  #capacity: number;
  #changed = false;

  constructor(
    allocator: Allocator,
    { language }: InternVLConfig,
    { maxContext, format }: { readonly maxContext: number; readonly format: KeyValueFormat },
  ) {
    const { numLayers, numKeyValueHeads, headDim, ropeTheta } = language;
    this.#allocator = allocator;
    this.#maxContext = maxContext;
    this.#rowBytes = cacheRowWords(format, { keyValueHeads: numKeyValueHeads, headDim }) * 4;
    this.#capacity = Math.min(FIRST_CAPACITY, maxContext);
    // Found out before anything is loaded, not in the middle of a conversation.
    allocator.checkSize('the full cache of a layer', maxContext * this.#rowBytes);
    const table = ropeTable(maxContext, headDim, ropeTheta);
    const rotations = allocator.storage('rotations', table.byteLength);
    allocator.device.queue.writeBuffer(rotations, 0, table);
    this.layers = Array.from({ length: numLayers }, (_, layer) => ({
      format,
      keys: new BufferRef(this.allocate(`keys ${layer}`, this.#capacity)),
      values: new BufferRef(this.allocate(`values ${layer}`, this.#capacity)),
      ropeTable: rotations,
    }));
  }

  /** Tokens there is room for without growing. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Bytes at the full context. */
  get fullBytes(): number {
    return this.layers.length * 2 * this.#maxContext * this.#rowBytes;
  }

  /**
   * Makes room for `tokens`, at most maxContext, of which `length` are there. A layer at a time, so that only
   * one is there twice.
   * @throws SpeedqError 'out-of-memory'; no token is lost, and layers that have grown stay so
   */
  async grow(tokens: number, length: number): Promise<void> {
    if (tokens <= this.#capacity) return;
    let capacity = this.#capacity;
    while (capacity < tokens) capacity *= 2;
    capacity = Math.min(capacity, this.#maxContext);
    const { device } = this.#allocator;
    for (const [index, { keys, values }] of this.layers.entries()) {
      const larger = await withErrorScopes(device, `a cache of ${capacity} tokens`, () => {
        const buffers = [
          this.allocate(`keys ${index}`, capacity),
          this.allocate(`values ${index}`, capacity),
        ];
        const encoder = device.createCommandEncoder();
        for (const [i, { buffer }] of [keys, values].entries()) {
          encoder.copyBufferToBuffer(buffer, 0, buffers[i], 0, length * this.#rowBytes);
        }
        device.queue.submit([encoder.finish()]);
        return buffers;
      });
      for (const [i, ref] of [keys, values].entries()) {
        this.#allocator.free(ref.buffer);
        ref.buffer = larger[i];
      }
      this.#changed = true;
    }
    this.#capacity = capacity;
  }

  /** Whether buffers were replaced since the last call: what binds them must be rebound. */
  takeChanged(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  private allocate(label: string, capacity: number): GPUBuffer {
    return this.#allocator.storage(label, capacity * this.#rowBytes, 'kvCache');
  }
}
