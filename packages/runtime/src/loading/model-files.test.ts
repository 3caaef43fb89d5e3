import { SpeedqError } from '@speedq/format';
import { describe, expect, it, vi } from 'vitest';
import { isKept, openModelFiles } from './model-files.ts';
import type { FetchedModelFiles, LoadProgress } from './model-files.ts';
import { memoryStorage } from './storage.ts';
import { MODEL_URL as url, servedModel } from '../testing/served-model.ts';

const SHARD = 'model-00001-of-00001.safetensors';

/** No pauses: nothing here gets better by waiting. */
const retry = { baseMilliseconds: 0, attempts: 3 };

const modelFiles = (shard = new Uint8Array(5000).map((_, i) => i)) => servedModel([shard]);

/** Answers in chunks of 1000 bytes, without a length: what a compressing server does. */
function serve(files: ReadonlyMap<string, Uint8Array>, { announce = false } = {}) {
  return vi.fn((address: string) => {
    const bytes = files.get(address.slice(url.length));
    if (!bytes) return Promise.resolve(new Response('', { status: 404, statusText: 'Not Found' }));
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += 1000) controller.enqueue(bytes.slice(at, at + 1000));
        controller.close();
      },
    });
    const headers: Record<string, string> = announce ? { 'content-length': String(bytes.length) } : {};
    return Promise.resolve(new Response(body, { headers }));
  });
}

const offline = () => Promise.reject(new TypeError('Failed to fetch'));

async function load(files: FetchedModelFiles): Promise<Uint8Array> {
  await files.read('config.json');
  const shard = await files.read(SHARD);
  await files.finish();
  return shard;
}

describe('openModelFiles', () => {
  it('reads files of the size and hash that the manifest gives, and reports every byte', async () => {
    const served = modelFiles();
    const progress: LoadProgress[] = [];
    const files = await openModelFiles(url, {
      retry,
      fetch: serve(served),
      onProgress: (p) => progress.push(p),
    });
    files.expect(['config.json', SHARD]);
    expect(await load(files)).toEqual(served.get(SHARD));
    expect(progress.at(-1)).toEqual({ loaded: 5002, total: 5002, source: 'network' });
    expect(progress.map(({ loaded }) => loaded)).toEqual([2, 1002, 2002, 3002, 4002, 5002]);
  });

  it('after one load everything comes from storage, with the server gone', async () => {
    const served = modelFiles();
    const storage = memoryStorage();
    expect(await isKept(storage)).toBe(false);
    const first = await openModelFiles(url, { retry, fetch: serve(served), storage });
    await load(first);
    expect(first.kept).toBe(true);
    expect(await isKept(storage)).toBe(true);

    const progress: LoadProgress[] = [];
    const again = await openModelFiles(url, {
      retry,
      fetch: offline,
      storage,
      onProgress: (p) => progress.push(p),
    });
    expect(await load(again)).toEqual(served.get(SHARD));
    expect(progress.every(({ source }) => source === 'storage')).toBe(true);
  });

  it('a model that was not read to its end is not taken for kept', async () => {
    const storage = memoryStorage();
    const files = await openModelFiles(url, { retry, fetch: serve(modelFiles()), storage });
    await files.read('config.json');
    expect(await isKept(storage)).toBe(false);
    await expect(openModelFiles(url, { retry, fetch: offline, storage })).rejects.toMatchObject({
      code: 'network',
    });
  });

  it('a new version fetches what changed and forgets the old', async () => {
    const storage = memoryStorage();
    await load(await openModelFiles(url, { retry, fetch: serve(modelFiles()), storage }));
    const append = vi.spyOn(storage, 'append');
    const next = modelFiles(new Uint8Array(3000).fill(7));
    const fetch = serve(next);
    const files = await openModelFiles(url, { retry, fetch, storage });
    expect(await load(files)).toEqual(next.get(SHARD));
    expect(fetch.mock.calls.map(([address]) => address.slice(url.length))).toEqual(['manifest.json', SHARD]);
    // The journal, the shard, the manifest.
    expect(append).toHaveBeenCalledTimes(3);
    expect((await storage.names()).length).toBe(3);
    expect(await isKept(storage)).toBe(true);
  });

  it('fetches again what was damaged in storage', async () => {
    const served = modelFiles();
    const storage = memoryStorage();
    await load(await openModelFiles(url, { retry, fetch: serve(served), storage }));
    const damaged = { ...storage, read: async (name: string) => damage(await storage.read(name), name) };
    const files = await openModelFiles(url, { retry, fetch: serve(served), storage: damaged });
    expect(await load(files)).toEqual(served.get(SHARD));
  });

  it('works, and says so, where nothing can be kept', async () => {
    const full = {
      ...memoryStorage(),
      append: () => Promise.reject(new DOMException('full', 'QuotaExceededError')),
    };
    const files = await openModelFiles(url, { retry, fetch: serve(modelFiles()), storage: full });
    await load(files);
    expect(files.kept).toBe(false);
  });
});

function damage<T extends Uint8Array>(bytes: T | undefined, name: string): T | undefined {
  if (bytes && name.endsWith(SHARD)) bytes[100] ^= 1;
  return bytes;
}

describe('what a server may do wrong', () => {
  it.each([
    ['altered', (shard: Uint8Array) => shard.with(100, 0), 'checksum-mismatch'],
    ['cut off', (shard: Uint8Array) => shard.slice(0, 4000), 'file-truncated'],
    ['too long', (shard: Uint8Array) => new Uint8Array([...shard, 0]), 'file-truncated'],
    ['empty', () => new Uint8Array(0), 'file-truncated'],
  ])('%s shard', async (_name, change, code) => {
    for (const announce of [false, true]) {
      const served = modelFiles();
      served.set(SHARD, change(served.get(SHARD)!));
      const storage = memoryStorage();
      const files = await openModelFiles(url, { retry, fetch: serve(served, { announce }), storage });
      const error = await load(files).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(SpeedqError);
      expect(error).toMatchObject({ code, message: expect.stringContaining(SHARD) });
      expect(await isKept(storage)).toBe(false);
    }
  });

  it('a missing shard', async () => {
    const served = modelFiles();
    served.delete(SHARD);
    const files = await openModelFiles(url, { retry, fetch: serve(served) });
    await expect(load(files)).rejects.toMatchObject({ code: 'network', message: /404 Not Found/ });
  });

  it('no manifest, or a page instead of one', async () => {
    await expect(openModelFiles(url, { retry, fetch: serve(new Map()) })).rejects.toMatchObject({
      code: 'network',
    });
    const page = new Map([['manifest.json', new TextEncoder().encode('<!doctype html>')]]);
    await expect(openModelFiles(url, { retry, fetch: serve(page) })).rejects.toMatchObject({
      code: 'invalid-manifest',
    });
  });

  it('a connection that breaks', async () => {
    const fetch = serve(modelFiles());
    const files = await openModelFiles(url, {
      retry,
      fetch: (address) =>
        address.endsWith(SHARD)
          ? Promise.resolve(
              new Response(
                new ReadableStream({
                  start(controller) {
                    controller.enqueue(new Uint8Array(10));
                    controller.error(new TypeError('network error'));
                  },
                }),
              ),
            )
          : fetch(address),
    });
    await expect(load(files)).rejects.toMatchObject({ code: 'network', message: /connection broke/ });
  });
});
