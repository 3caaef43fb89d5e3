import { SpeedqError } from '@speedq/format';
import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';

/** Stores up to this many bytes stay in memory. */
const MEMORY_BYTES = 2 ** 29;

let files = 0;

/** Activations of all calibration items between two blocks: in memory where they are small, else on disk. */
export class ActivationStore {
  private readonly offsets: number[];
  private readonly memory: Float32Array | undefined;
  private readonly handle: number | undefined;

  /** `sizes`: values of each item; `folder` is for the file, which ends with the process. */
  constructor(
    private readonly sizes: readonly number[],
    folder: string,
    memoryBytes = MEMORY_BYTES,
  ) {
    let total = 0;
    this.offsets = sizes.map((size) => (total += size) - size);
    if (total * 4 <= memoryBytes) {
      this.memory = new Float32Array(total);
      return;
    }
    const path = `${folder}/activations-${files++}`;
    this.handle = openSync(path, 'w+');
    if (process.platform !== 'win32') unlinkSync(path);
  }

  get items(): number {
    return this.sizes.length;
  }

  /** Values of item `index`. */
  size(index: number): number {
    return this.sizes[index];
  }

  /** The item: a view where the store is in memory, so only to be read. */
  read(index: number): Float32Array {
    const offset = this.offsets[index];
    if (this.memory !== undefined) return this.memory.subarray(offset, offset + this.sizes[index]);
    const values = new Float32Array(this.sizes[index]);
    const bytes = new Uint8Array(values.buffer);
    if (readSync(this.handle!, bytes, 0, bytes.length, offset * 4) === bytes.length) return values;
    throw new SpeedqError('internal', 'The file of activations was cut; run the same command again.');
  }

  write(index: number, values: Float32Array): void {
    const offset = this.offsets[index];
    if (values.length !== this.sizes[index]) {
      throw new SpeedqError(
        'internal',
        `Item ${index} has ${values.length} values, expected ${this.sizes[index]}.`,
      );
    }
    if (this.memory !== undefined) return this.memory.set(values, offset);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    for (let done = 0; done < bytes.length;) {
      done += writeSync(this.handle!, bytes, done, bytes.length - done, offset * 4 + done);
    }
  }

  close(): void {
    if (this.handle !== undefined) closeSync(this.handle);
  }
}
