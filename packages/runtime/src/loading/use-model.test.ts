import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fakeLocks } from '../testing/fake-locks.ts';
import { FakeServer } from '../testing/fake-server.ts';
import { MODEL_URL, servedModel, shardName } from '../testing/served-model.ts';
import type { LoadProgress } from './model-files.ts';
import { memoryStorage } from './storage.ts';
import { useModel } from './use-model.ts';
import { loadedFiles } from './wanted-files.ts';

const shards = [1, 2].map((seed) => Uint8Array.from({ length: 20_000 }, (_, i) => (i * seed) >> 3));
const SHARDS = shards.map((_, index) => shardName(index, 2));

/** What a tab does: reads every file. */
function open(server: FakeServer, options: Partial<Parameters<typeof useModel>[1]> = {}) {
  const retry = { baseMilliseconds: 0 };
  return useModel(MODEL_URL, { fetch: server.fetch, retry, isShared: true, ...options }, async (files) => {
    for (const { name } of loadedFiles(files.manifest)) await files.read(name);
    return files;
  });
}

describe('two tabs', () => {
  beforeEach(() => vi.stubGlobal('navigator', { locks: fakeLocks() }));
  afterEach(() => vi.unstubAllGlobals());

  it('download once between them, and both show how far it is', async () => {
    const server = new FakeServer(servedModel(shards));
    const storage = memoryStorage();
    const seen: LoadProgress[][] = [[], []];
    const tabs = seen.map((list) => open(server, { storage, onProgress: (progress) => list.push(progress) }));
    await Promise.all(tabs);
    for (const name of SHARDS) expect(server.sent.get(name)).toBe(20_000);
    for (const list of seen) {
      expect(list.at(-1)).toMatchObject({ loaded: 40_002, total: 40_002 });
      expect(list.map(({ loaded }) => loaded)).toEqual(
        list.map(({ loaded }) => loaded).toSorted((a, b) => a - b),
      );
      expect(list.length).toBeGreaterThan(5);
    }
  });

  it('the second takes over where the first is closed in the middle', async () => {
    const storage = memoryStorage();
    const server = new FakeServer(servedModel(shards));
    const closed = new AbortController();
    const first = open(server, {
      storage,
      signal: closed.signal,
      onProgress: ({ loaded }) => {
        if (loaded > 30_000) closed.abort(new Error('closed'));
      },
    });
    const second = open(server, { storage });
    await expect(first).rejects.toThrow('closed');
    await second;
    // What the first had got is not fetched again, but for the chunks that were on their way.
    for (const name of SHARDS) expect(server.sent.get(name)).toBeLessThanOrEqual(23_000);
  });

  it('a tab that waits can be closed', async () => {
    const storage = memoryStorage();
    const server = new FakeServer(servedModel(shards));
    const waiting = new AbortController();
    let first!: Promise<unknown>;
    const second = new Promise<unknown>((resolve) => {
      first = open(server, {
        storage,
        onProgress: ({ loaded }) => {
          if (loaded === 2)
            resolve(open(server, { storage, signal: waiting.signal }).catch((e: unknown) => e));
          if (loaded > 20_000) waiting.abort(new Error('closed'));
        },
      });
    });
    await first;
    expect(await second).toMatchObject({ message: 'closed' });
  });
});

describe('room', () => {
  const estimate = (free: number) => () => Promise.resolve({ quota: 50e6, usage: 50e6 - free });

  it('is looked for before a shard is fetched, and its lack told in numbers', async () => {
    const server = new FakeServer(servedModel(shards));
    const opening = open(server, { storage: memoryStorage(), estimate: estimate(1_000_000) });
    await expect(opening).rejects.toMatchObject({
      code: 'out-of-space',
      message:
        /test needs 0\.0 MB more of this site's storage, and 1\.0 MB of 50 MB are free.*storage: 'memory'/,
    });
    expect(SHARDS.some((name) => server.sent.has(name))).toBe(false);
  });

  it('is needed for what is missing alone', async () => {
    const server = new FakeServer(servedModel(shards));
    const storage = memoryStorage();
    await open(server, { storage, estimate: estimate(10e6) });
    expect((await open(server, { storage, estimate: estimate(0) })).kept).toBe(true);
  });

  it('matters not to who keeps nothing', async () => {
    const server = new FakeServer(servedModel(shards));
    await open(server, { isShared: false, estimate: estimate(0) });
  });
});
