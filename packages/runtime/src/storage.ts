import { sha256 } from '@speedq/format';

/**
 * Where a model's files are kept after the first load. Names are flat. What is read back is verified by
 * the loader as if it came from the network, so a storage need not write atomically.
 */
export interface ModelStorage {
  read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** @throws QuotaExceededError (DOMException) when there is no room. */
  write(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  has(name: string, bytes: number): Promise<boolean>;
  /** Removes everything whose name is not in `names`. */
  keepOnly(names: ReadonlySet<string>): Promise<void>;
}

/** Keeps nothing past the page: for private windows without a file system, and for tests. */
export function memoryStorage(): ModelStorage {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  return {
    read: (name) => Promise.resolve(files.get(name)?.slice()),
    write: (name, bytes) => {
      files.set(name, bytes.slice());
      return Promise.resolve();
    },
    has: (name, bytes) => Promise.resolve(files.get(name)?.byteLength === bytes),
    keepOnly: (names) => {
      for (const name of files.keys()) if (!names.has(name)) files.delete(name);
      return Promise.resolve();
    },
  };
}

const ROOT = 'speedq';

/** TypeScript knows these in the library of workers alone, which excludes that of windows. */
interface SyncFileHandle extends FileSystemFileHandle {
  createSyncAccessHandle(): Promise<{
    truncate(size: number): void;
    write(bytes: Uint8Array, options: { at: number }): number;
    flush(): void;
    close(): void;
  }>;
}

/**
 * The origin private file system, one folder per model address. Undefined where the browser has none.
 * Writing needs a worker: synchronous handles are the only kind that every browser writes with.
 */
export async function opfsStorage(modelUrl: string): Promise<ModelStorage | undefined> {
  let folder: FileSystemDirectoryHandle;
  try {
    const root = await navigator.storage.getDirectory();
    const speedq = await root.getDirectoryHandle(ROOT, { create: true });
    folder = await speedq.getDirectoryHandle(await folderName(modelUrl), { create: true });
  } catch {
    return undefined;
  }
  return {
    async read(name) {
      const file = await openFile(folder, name);
      return file && new Uint8Array(await file.arrayBuffer());
    },
    async write(name, bytes) {
      const handle = await folder.getFileHandle(name, { create: true });
      const access = await (handle as SyncFileHandle).createSyncAccessHandle();
      try {
        access.truncate(0);
        for (let at = 0; at < bytes.length;) {
          const written = access.write(bytes.subarray(at), { at });
          if (written === 0) throw new DOMException('No bytes were written', 'QuotaExceededError');
          at += written;
        }
        access.flush();
      } finally {
        access.close();
      }
    },
    async has(name, bytes) {
      return (await openFile(folder, name))?.size === bytes;
    },
    async keepOnly(names) {
      const stale: string[] = [];
      for await (const name of folder.keys()) if (!names.has(name)) stale.push(name);
      for (const name of stale) await folder.removeEntry(name);
    },
  };
}

async function openFile(folder: FileSystemDirectoryHandle, name: string): Promise<File | undefined> {
  try {
    return await (await folder.getFileHandle(name)).getFile();
  } catch {
    return undefined;
  }
}

/** An address is not a file name; its hash is. */
async function folderName(modelUrl: string): Promise<string> {
  return (await sha256(new TextEncoder().encode(modelUrl))).slice(0, 32);
}
