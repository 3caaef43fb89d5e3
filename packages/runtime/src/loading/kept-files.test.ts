import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeptFiles } from './kept-files.ts';
import { folderStorage } from './node-storage.ts';
import { memoryStorage, writeWhole } from './storage.ts';
import type { ModelStorage } from './storage.ts';

const bytes = Uint8Array.from({ length: 50 }, (_, i) => i);
const file = { name: 'a.safetensors', bytes: 50, sha256: createHash('sha256').update(bytes).digest('hex') };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-storage-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each([
  ['memory', () => Promise.resolve(memoryStorage())],
  ['a folder', () => folderStorage(folder)],
])('%s as storage', (_name, open) => {
  it('appends, cuts, renames over what is there, and forgets', async () => {
    const storage = await open();
    const file = await storage.append('a', 0);
    await file.write(bytes.slice(0, 10));
    await file.write(bytes.slice(10, 20));
    await file.close();
    expect(await storage.read('a')).toEqual(bytes.slice(0, 20));
    const again = await storage.append('a', 5);
    await again.write(bytes.slice(5, 8));
    await again.close();
    expect(await storage.read('a')).toEqual(bytes.slice(0, 8));
    expect(await storage.size('a')).toBe(8);
    await writeWhole(storage, 'b', bytes);
    await storage.rename('a', 'b');
    expect(await storage.read('b')).toEqual(bytes.slice(0, 8));
    expect(await storage.size('a')).toBeUndefined();
    expect(await storage.read('a')).toBeUndefined();
    expect(await storage.names()).toEqual(['b']);
    await storage.remove('b');
    await storage.remove('b');
    expect(await storage.names()).toEqual([]);
  });
});

describe('KeptFiles', () => {
  /** Storage that fails, and does nothing any more, at its `steps`-th change. */
  function crashing(storage: ModelStorage, steps: number): ModelStorage {
    let left = steps;
    const change = <A extends unknown[], T>(work: (...args: A) => Promise<T>) => {
      return (...args: A): Promise<T> => (left-- > 0 ? work(...args) : Promise.reject(new Error('crash')));
    };
    return {
      ...storage,
      remove: change((name: string) => storage.remove(name)),
      rename: change((from: string, to: string) => storage.rename(from, to)),
      append: change(async (name, length) => {
        const file = await storage.append(name, length);
        return { ...file, write: change((chunk: Uint8Array<ArrayBuffer>) => file.write(chunk)) };
      }),
    };
  }

  it('has a file whole or not at all after a crash at any step, and goes on with what is there', async () => {
    for (let steps = 0; ; steps++) {
      const storage = memoryStorage();
      const write = async (kept: KeptFiles): Promise<void> => {
        const part = await kept.part(file, 0, '"tag"');
        for (let at = 0; at < 50; at += 10) await part.write(bytes.slice(at, at + 10));
        await part.close();
        await part.complete();
      };
      const crashed = await write(new KeptFiles(crashing(storage, steps))).then(
        () => false,
        () => true,
      );
      const kept = new KeptFiles(storage);
      if (await kept.has(file)) expect(await kept.read(file)).toEqual(bytes);
      else {
        const beginning = await kept.beginning(file);
        expect(beginning?.bytes ?? new Uint8Array()).toEqual(bytes.slice(0, beginning?.bytes.length ?? 0));
        if (beginning) expect(beginning.validator).toBe('"tag"');
      }
      if (!crashed) {
        expect(await storage.names()).toHaveLength(1);
        expect(steps).toBeGreaterThan(8);
        return;
      }
    }
  });

  it('takes a journal of another file, or a damaged one, for none', async () => {
    const storage = memoryStorage();
    const kept = new KeptFiles(storage);
    const part = await kept.part(file, 0, '"tag"');
    await part.write(bytes.slice(0, 10));
    await part.close();
    await writeWhole(storage, 'journal.json', new TextEncoder().encode('{"part":"other","validator":"x"}'));
    expect(await kept.beginning(file)).toEqual({ bytes: bytes.slice(0, 10), validator: undefined });
    await writeWhole(storage, 'journal.json', new TextEncoder().encode('{"par'));
    expect(await kept.beginning(file)).toEqual({ bytes: bytes.slice(0, 10), validator: undefined });
  });
});
