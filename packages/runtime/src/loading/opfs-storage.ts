import { sha256 } from '@speedq/format';
import type { ModelStorage } from './storage.ts';

const ROOT = 'speedq';

/** TypeScript knows these in the library of workers alone, which excludes that of windows. */
interface SyncFileHandle extends FileSystemFileHandle {
  createSyncAccessHandle(): Promise<{
    getSize(): number;
    truncate(size: number): void;
    write(bytes: Uint8Array, options: { at: number }): number;
    flush(): void;
    close(): void;
  }>;
  /** Renames within its folder; browsers of before 2023 lack it. */
  move?(name: string): Promise<void>;
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
  const open = async (name: string): Promise<File | undefined> => {
    try {
      return await (await folder.getFileHandle(name)).getFile();
    } catch {
      return undefined;
    }
  };
  const storage: ModelStorage = {
    async read(name) {
      const file = await open(name);
      return file && new Uint8Array(await file.arrayBuffer());
    },
    async size(name) {
      return (await open(name))?.size;
    },
    async names() {
      const names: string[] = [];
      for await (const name of folder.keys()) names.push(name);
      return names;
    },
    async remove(name) {
      await folder.removeEntry(name).catch((error: unknown) => {
        if ((error as DOMException).name !== 'NotFoundError') throw error;
      });
    },
    async rename(from, to) {
      const handle: SyncFileHandle = (await folder.getFileHandle(from)) as SyncFileHandle;
      if (handle.move) return await handle.move(to);
      // Not at one stroke, but what is read back is compared with its hash.
      const bytes = await storage.read(from);
      const target = await storage.append(to, 0);
      await target.write(bytes!);
      await target.close();
      await storage.remove(from);
    },
    async append(name, length) {
      const handle = await folder.getFileHandle(name, { create: true });
      const access = await (handle as SyncFileHandle).createSyncAccessHandle();
      let end = Math.min(length, access.getSize());
      access.truncate(end);
      return {
        write(bytes) {
          try {
            for (let done = 0; done < bytes.length;) {
              const written = access.write(bytes.subarray(done), { at: end });
              if (written === 0) throw new DOMException('No bytes were written', 'QuotaExceededError');
              done += written;
              end += written;
            }
            return Promise.resolve();
          } catch (error) {
            return Promise.reject(error);
          }
        },
        close() {
          try {
            access.flush();
            return Promise.resolve();
          } catch (error) {
            return Promise.reject(error);
          } finally {
            access.close();
          }
        },
      };
    },
  };
  return storage;
}

/** An address is not a file name; its hash is. */
async function folderName(modelUrl: string): Promise<string> {
  return (await sha256(new TextEncoder().encode(modelUrl))).slice(0, 32);
}
