import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelStorage } from './storage.ts';

/** A folder on disk, made if need be: downloaded models are kept there as the browser's file system keeps them. */
export async function folderStorage(folder: string): Promise<ModelStorage> {
  await mkdir(folder, { recursive: true });
  const path = (name: string): string => join(folder, name);
  return {
    async read(name) {
      const bytes = await readFile(path(name)).catch(absent);
      // A copy of its own: small files come as views into Node's shared pool.
      return bytes && new Uint8Array(bytes);
    },
    async size(name) {
      return (await stat(path(name)).catch(absent))?.size;
    },
    names: () => readdir(folder),
    remove: (name) => rm(path(name), { force: true }),
    rename: (from, to) => rename(path(from), path(to)),
    async append(name, length) {
      const file = await open(path(name), 'a');
      await file.truncate(Math.min(length, (await file.stat()).size));
      return {
        write: (bytes) => file.appendFile(bytes),
        async close() {
          try {
            await file.sync();
          } finally {
            await file.close();
          }
        },
      };
    },
  };
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
