import { SpeedqError, bytesAs, safetensorsHeader, tensorToFloats } from '@speedq/format';
import { open, rename, rm } from 'node:fs/promises';
import { toSpeedqError } from '../cli/exit-codes.ts';
import { SafetensorsFile } from '../safetensors-file.ts';

/** Named arrays and a few words about them: what a stage needs to go on exactly where it was. */
export interface State {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, Float32Array | Uint32Array>;
}

/**
 * Written beside its final name, flushed and renamed: a kill or a full disk leaves the last whole state.
 * Throws `out-of-space`.
 */
export async function saveState(path: string, { metadata, tensors }: State): Promise<void> {
  const partial = `${path}.partial`;
  const file = await open(partial, 'w');
  try {
    const declared = [...tensors].map(([name, data]) => ({
      name,
      dtype: data instanceof Float32Array ? ('F32' as const) : ('U32' as const),
      shape: [data.length],
    }));
    await file.writeFile(safetensorsHeader(declared, metadata));
    for (const data of tensors.values()) {
      await file.writeFile(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
    await file.datasync();
    await file.close();
    await rename(partial, path);
  } catch (cause) {
    await file.close().catch(() => {});
    await rm(partial, { force: true });
    if (toSpeedqError(cause).code !== 'out-of-space') throw cause;
    throw new SpeedqError(
      'out-of-space',
      `${path}: no space left for this checkpoint. The checkpoint before it is kept: free some space and run the ` +
        'same command again.',
      { cause },
    );
  }
}

/** Undefined where there is none. */
export async function loadState(path: string): Promise<State | undefined> {
  let file: SafetensorsFile;
  try {
    file = await SafetensorsFile.open(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const tensors = new Map<string, Float32Array | Uint32Array>();
    for (const [name, info] of file.header.tensors) {
      const bytes = await file.read(info);
      tensors.set(
        name,
        info.dtype === 'U32' ? bytesAs(Uint32Array, bytes) : tensorToFloats(bytes, info.dtype),
      );
    }
    return { metadata: Object.fromEntries(file.header.metadata), tensors };
  } finally {
    await file.close();
  }
}

/** Copies a saved array over one in use. Throws `resume-mismatch` where it is missing or of another size. */
export function restore(state: State, name: string, into: Float32Array): void {
  const saved = state.tensors.get(name);
  if (!(saved instanceof Float32Array) || saved.length !== into.length) {
    throw new SpeedqError(
      'resume-mismatch',
      `The checkpoint holds ${saved?.length ?? 'no'} values of ${name}, this run needs ${into.length}. ` +
        'It was made by another version; pass --force to start over.',
    );
  }
  into.set(saved);
}
