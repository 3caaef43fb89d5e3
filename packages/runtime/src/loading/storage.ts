/**
 * Where a model's files are kept after the first load: the browser's file system, memory, a folder of Node. Names
 * are flat. How files come to be complete is the business of `KeptFiles`; a storage need only do these six.
 */
export interface ModelStorage {
  read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Bytes of a file; undefined where there is none. */
  size(name: string): Promise<number | undefined>;
  names(): Promise<string[]>;
  /** What is not there is no error. */
  remove(name: string): Promise<void>;
  /** Replaces what has the name `to`. After a crash there is one of the two, whole. */
  rename(from: string, to: string): Promise<void>;
  /** Opens a file for writing behind its first `length` bytes; what lies beyond is cut off. */
  append(name: string, length: number): Promise<FileAppender>;
}

export interface FileAppender {
  /** @throws QuotaExceededError (DOMException) when there is no room. */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Everything written is on the device when this resolves. */
  close(): Promise<void>;
}

/** Keeps nothing past the page: a choice, and what is left in windows without a file system. */
export function memoryStorage(): ModelStorage {
  const files = new Map<string, Uint8Array<ArrayBuffer>[]>();
  const size = (name: string): number | undefined =>
    files.get(name)?.reduce((sum, chunk) => sum + chunk.length, 0);
  const read = (name: string): Uint8Array<ArrayBuffer> | undefined => {
    const chunks = files.get(name);
    if (!chunks) return undefined;
    const bytes = new Uint8Array(size(name)!);
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  };
  return {
    read: (name) => Promise.resolve(read(name)),
    size: (name) => Promise.resolve(size(name)),
    names: () => Promise.resolve([...files.keys()]),
    remove: (name) => {
      files.delete(name);
      return Promise.resolve();
    },
    rename: (from, to) => {
      const chunks = files.get(from);
      if (!chunks) return Promise.reject(new DOMException(`No file ${from}`, 'NotFoundError'));
      files.delete(from);
      files.set(to, chunks);
      return Promise.resolve();
    },
    append: (name, length) => {
      const chunks = [(read(name) ?? new Uint8Array()).slice(0, length)];
      files.set(name, chunks);
      return Promise.resolve({
        write: (bytes) => {
          chunks.push(bytes.slice());
          return Promise.resolve();
        },
        close: () => Promise.resolve(),
      });
    },
  };
}

/** Writes a small file so that there is the old one or the new one, whatever happens meanwhile. */
export async function writeWhole(
  storage: ModelStorage,
  name: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const temporary = `${name}.new`;
  const file = await storage.append(temporary, 0);
  try {
    await file.write(bytes);
  } finally {
    await file.close();
  }
  await storage.rename(temporary, name);
}
