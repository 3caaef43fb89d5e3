import { describe, expect, it } from 'vitest';
import { seededRandom } from '../random.ts';
import { FakeServer } from '../testing/fake-server.ts';
import { MODEL_URL, servedModel, shardName } from '../testing/served-model.ts';
import { isKept, openModelFiles } from './model-files.ts';
import type { LoadProgress } from './model-files.ts';
import { memoryStorage } from './storage.ts';
import type { ModelStorage } from './storage.ts';

const SEED = 20_260;
const CUTS = 500;
const SHARDS = 3;
const names = Array.from({ length: SHARDS }, (_, index) => shardName(index, SHARDS));

/** A page that is gone: what it does to its storage from then on has no effect, and never ends. */
function mortal(storage: ModelStorage): { storage: ModelStorage; death: Promise<void>; die(): void } {
  let dead = false;
  let died!: () => void;
  const death = new Promise<void>((resolve) => (died = resolve));
  const guard = <A extends unknown[], T>(work: (...args: A) => Promise<T>) => {
    return (...args: A): Promise<T> => (dead ? new Promise(() => {}) : work(...args));
  };
  return {
    death,
    die: () => {
      dead = true;
      died();
    },
    storage: {
      read: guard((name: string) => storage.read(name)),
      size: guard((name: string) => storage.size(name)),
      names: guard(() => storage.names()),
      remove: guard((name: string) => storage.remove(name)),
      rename: guard((from: string, to: string) => storage.rename(from, to)),
      append: guard(async (name: string, length: number) => {
        const file = await storage.append(name, length);
        return {
          write: guard((bytes: Uint8Array<ArrayBuffer>) => file.write(bytes)),
          close: guard(() => file.close()),
        };
      }),
    },
  };
}

/** What a power cut does to the part that was being written: its end is lost, or there and empty. */
async function losePower(storage: ModelStorage, random: () => number): Promise<void> {
  for (const name of await storage.names()) {
    if (!name.endsWith('.part')) continue;
    const size = (await storage.size(name))!;
    const left = Math.floor(random() * (size + 1));
    const file = await storage.append(name, left);
    if (random() < 0.5) await file.write(new Uint8Array(size - left));
    await file.close();
  }
}

/**
 * One cut: a download that breaks once at a random byte, in a random way, on a server of random abilities.
 * 'connection': the same visit goes on. 'page': the page dies; another visit goes on. 'power': that, and the end
 * of what was written is lost.
 */
async function cutOnce(seed: number): Promise<{ kind: string; again: number; largest: number }> {
  const random = seededRandom(seed);
  const pick = (count: number): number => Math.floor(random() * count);
  const shards = names.map(() => new Uint8Array(1 + pick(1500)).map(() => pick(256)));
  const files = servedModel(shards);
  const kind = ['connection', 'page', 'power'][pick(3)];
  const target = names[pick(SHARDS)];
  const after = pick(files.get(target)!.length);
  const silently = random() < 0.5;
  let cuts = 1;
  const server = new FakeServer(files, {
    ranges: random() < 0.7,
    tags: random() < 0.7,
    announce: random() < 0.7,
    chunkBytes: 50 + pick(500),
    cut: (name) => (name === target && cuts-- > 0 ? { after, silently } : undefined),
  });
  const kept = memoryStorage();
  let reported = 0;
  const options = {
    fetch: server.fetch,
    retry: { baseMilliseconds: 0 },
    onProgress: ({ loaded, total }: LoadProgress) => {
      if (loaded <= reported || loaded > total) throw new Error(`${reported}, then ${loaded} of ${total}`);
      reported = loaded;
    },
  };
  if (kind !== 'connection') {
    const page = mortal(kept);
    const first = await openModelFiles(MODEL_URL, {
      ...options,
      storage: page.storage,
      retry: { baseMilliseconds: 0 },
      fetch: (url, init) => {
        if (cuts > 0) return server.fetch(url, init);
        page.die();
        return new Promise(() => {});
      },
    });
    first.expect(['config.json', ...names]);
    await first.read('config.json');
    const reading = (async () => {
      for (const name of names) await first.read(name);
    })();
    reading.catch(() => {});
    await page.death;
    expect(await isKept(kept)).toBe(false);
    if (kind === 'power') await losePower(kept, random);
    reported = 0;
  }
  const files2 = await openModelFiles(MODEL_URL, { ...options, storage: kept });
  files2.expect(['config.json', ...names]);
  await files2.read('config.json');
  for (const [index, name] of names.entries()) expect(await files2.read(name)).toEqual(shards[index]);
  await files2.finish();
  expect(files2.kept).toBe(true);
  expect(await isKept(kept)).toBe(true);
  // Nothing but the model is left: no part, no journal.
  expect(
    (await kept.names()).every((name) =>
      /^(manifest\.json|[0-9a-f]{32}-[^/]*(json|safetensors))$/.test(name),
    ),
  ).toBe(true);
  reported = 0;
  const gone = await openModelFiles(MODEL_URL, {
    ...options,
    fetch: () => Promise.reject(new TypeError()),
    storage: kept,
  });
  for (const [index, name] of names.entries()) expect(await gone.read(name)).toEqual(shards[index]);
  const total = shards.reduce((sum, { length }) => sum + length, 0);
  const sent = names.reduce((sum, name) => sum + (server.sent.get(name) ?? 0), 0);
  return { kind, again: sent - total, largest: shards[names.indexOf(target)].length };
}

describe('a download that is cut', () => {
  it(`resumes byte-identical, ${CUTS} times, and fetches at most the one shard again`, async () => {
    const kinds: Record<string, number> = {};
    let withoutRefetch = 0;
    for (let i = 0; i < CUTS; i++) {
      const { kind, again, largest } = await cutOnce(SEED + i).catch((cause: unknown) => {
        throw new Error(`cut ${i}, seed ${SEED + i}`, { cause });
      });
      expect(again, `cut ${i}, seed ${SEED + i}: bytes fetched again`).toBeLessThanOrEqual(largest);
      kinds[kind] = (kinds[kind] ?? 0) + 1;
      if (again === 0) withoutRefetch++;
    }
    expect(Object.keys(kinds).sort()).toEqual(['connection', 'page', 'power']);
    // Where the server understands ranges and nothing written was lost, not a byte comes twice.
    expect(withoutRefetch).toBeGreaterThan(CUTS / 3);
  }, 240_000);
});
