import { SpeedqError } from '@speedq/format';
import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { statfs } from 'node:fs/promises';

/** Features of pictures are kept on disk up to this many bytes, and half of what is free. */
const DISK_BYTES = 2 ** 32;

export interface FeatureStoreOptions {
  /** Float32 values of each picture. */
  readonly sizes: readonly number[];
  readonly compute: (picture: number) => Promise<Float32Array>;
  /** Folder for the cache file. */
  readonly folder: string;
  readonly file: string;
}

/**
 * Outputs of a frozen encoder, computed once per picture where they fit on disk and each time where they do
 * not. Each picture is computed by itself, so that its features do not depend on when or with whom.
 */
export class FeatureStore {
  private readonly present: Uint8Array;
  private readonly offsets: number[];

  private constructor(
    private readonly options: FeatureStoreOptions,
    /** Undefined: nothing is kept. */
    private readonly handle: number | undefined,
  ) {
    this.present = new Uint8Array(options.sizes.length);
    let offset = 0;
    this.offsets = options.sizes.map((size) => (offset += 4 * size) - 4 * size);
  }

  static async create(options: FeatureStoreOptions): Promise<FeatureStore> {
    const bytes = options.sizes.reduce((sum, size) => sum + 4 * size, 0);
    const { bavail, bsize } = await statfs(options.folder);
    if (bytes > Math.min(DISK_BYTES, (bavail * bsize) / 2)) return new FeatureStore(options, undefined);
    const path = `${options.folder}/${options.file}`;
    const handle = openSync(path, 'w+');
    // Gone from the folder at once: the cache ends with the process, however it ends.
    if (process.platform !== 'win32') unlinkSync(path);
    return new FeatureStore(options, handle);
  }

  /** Copies the features of `picture` into `target`. */
  async read(picture: number, target: Float32Array): Promise<void> {
    const { handle, options, offsets } = this;
    const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
    if (handle !== undefined && this.present[picture] === 1) {
      if (readSync(handle, bytes, 0, bytes.length, offsets[picture]) === bytes.length) return;
      throw new SpeedqError('internal', 'The cache of picture features was cut; run the same command again.');
    }
    target.set(await options.compute(picture));
    if (handle === undefined) return;
    for (let done = 0; done < bytes.length;) {
      done += writeSync(handle, bytes, done, bytes.length - done, offsets[picture] + done);
    }
    this.present[picture] = 1;
  }

  close(): void {
    if (this.handle !== undefined) closeSync(this.handle);
  }
}
