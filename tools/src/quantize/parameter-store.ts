import { SpeedqError } from '@speedq/format';
import type { TensorSource } from '@speedq/model';
import type { Parameters } from '@speedq/onnx';
import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';

/** What was used last stays in memory, up to this many bytes. */
const MEMORY_BYTES = 2 ** 30;

export interface ParameterStoreOptions {
  /** For the file, which ends with the process. */
  readonly folder: string;
  /** Asked for what is not set here. */
  readonly base?: Parameters;
  readonly memoryBytes?: number;
}

let files = 0;

/**
 * Parameters by name, as a map has them, of which only those last used are in memory; the others lie in a file as
 * soon as there are more than fit. Arrays that come out of it are only to be read.
 */
export class ParameterStore implements Parameters {
  private readonly names = new Set<string>();
  /** Oldest use first. */
  private readonly recent = new Map<string, Float32Array>();
  private recentBytes = 0;
  private readonly held = new Map<string, Float32Array>();
  private readonly slots = new Map<string, { readonly offset: number; readonly length: number }>();
  private handle: number | undefined;
  private end = 0;

  constructor(private readonly options: ParameterStoreOptions) {}

  get(name: string): Float32Array | undefined {
    if (!this.names.has(name)) return this.options.base?.get(name);
    const known = this.held.get(name) ?? this.recent.get(name);
    const values = known ?? this.readBack(name);
    if (!this.held.has(name)) this.remember(name, values);
    return values;
  }

  /** Names that were set here, whatever is under them. */
  keys(): IterableIterator<string> {
    return this.names.keys();
  }

  set(name: string, values: Float32Array): void {
    this.delete(name);
    this.names.add(name);
    this.remember(name, values);
  }

  /** Sets values that change in place and so never leave memory. */
  hold(name: string, values: Float32Array): void {
    this.delete(name);
    this.names.add(name);
    this.held.set(name, values);
  }

  /** What is under it shows again. */
  delete(name: string): void {
    this.names.delete(name);
    this.held.delete(name);
    this.slots.delete(name);
    this.forget(name);
  }

  /** Without it, the file ends with the process. */
  close(): void {
    if (this.handle !== undefined) closeSync(this.handle);
    this.handle = undefined;
  }

  private remember(name: string, values: Float32Array): void {
    this.forget(name);
    this.recent.set(name, values);
    this.recentBytes += values.byteLength;
    for (const [oldest, array] of this.recent) {
      if (this.recentBytes <= (this.options.memoryBytes ?? MEMORY_BYTES)) return;
      if (!this.slots.has(oldest)) this.writeOut(oldest, array);
      this.forget(oldest);
    }
  }

  private forget(name: string): void {
    const values = this.recent.get(name);
    if (values === undefined) return;
    this.recent.delete(name);
    this.recentBytes -= values.byteLength;
  }

  private writeOut(name: string, values: Float32Array): void {
    if (this.handle === undefined) {
      const path = `${this.options.folder}/parameters-${files++}`;
      this.handle = openSync(path, 'w+');
      if (process.platform !== 'win32') unlinkSync(path);
    }
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    for (let done = 0; done < bytes.length;) {
      done += writeSync(this.handle, bytes, done, bytes.length - done, this.end + done);
    }
    this.slots.set(name, { offset: this.end, length: values.length });
    this.end += bytes.length;
  }

  private readBack(name: string): Float32Array {
    const { offset, length } = this.slots.get(name)!;
    const values = new Float32Array(length);
    const bytes = new Uint8Array(values.buffer);
    for (let done = 0; done < bytes.length;) {
      const read = readSync(this.handle!, bytes, done, bytes.length - done, offset + done);
      if (read === 0) {
        throw new SpeedqError('internal', 'The file of parameters was cut; run the same command again.');
      }
      done += read;
    }
    return values;
  }
}

/** All parameters of a folder, those that do not fit into memory in a file in `work`. */
export async function readParameters(
  tensors: Pick<TensorSource, 'parameters' | 'read'>,
  work: string,
): Promise<ParameterStore> {
  const store = new ParameterStore({ folder: work });
  for (const { name } of tensors.parameters) store.set(name, await tensors.read(name));
  return store;
}

/** `base` with some parameters replaced. */
export function withChanges(base: Parameters, changed: ReadonlyMap<string, Float32Array>): Parameters {
  return { get: (name) => changed.get(name) ?? base.get(name) };
}
