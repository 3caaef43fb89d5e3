import * as Comlink from 'comlink';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ChatEngine } from './engine.ts';
import { EngineHost } from './engine-host.ts';
import { portFetch, serveFetch } from './fetch-port.ts';
import { LanguageModel } from './language-model.ts';
import type { Fetch } from './loading/download.ts';
import { openModelFiles } from './loading/model-files.ts';
import { loadedFiles } from './loading/wanted-files.ts';
import { FakeModel, fakeCodec } from './testing/fake-model.ts';
import { FakeServer } from './testing/fake-server.ts';
import { MODEL_URL, servedModel, shardName } from './testing/served-model.ts';

const SHARDS = [new Uint8Array(5000).fill(3), new Uint8Array(3000).fill(4)];
const noPause = { baseMilliseconds: 0, maxMilliseconds: 0 };
const ports: MessagePort[] = [];

/** The worker's end of `fetch`. */
function through(fetch: Fetch): Fetch {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  serveFetch(port1, fetch);
  port2.start();
  return portFetch(port2);
}

afterEach(() => {
  for (const port of ports.splice(0)) port.close();
  vi.unstubAllGlobals();
});

describe('a fetch at the other end of a port', () => {
  it('gives status, headers and body, and takes headers and cache', async () => {
    const fetch = vi.fn<Fetch>(() =>
      Promise.resolve(new Response('whole', { status: 206, headers: { etag: '"a"' } })),
    );
    const response = await through(fetch)('https://a.test/', {
      headers: { range: 'bytes=2-' },
      cache: 'reload',
    });
    expect([response.status, response.headers.get('etag'), await response.text()]).toEqual([
      206,
      '"a"',
      'whole',
    ]);
    const [url, init] = fetch.mock.calls[0];
    expect([url, new Headers(init?.headers).get('range'), init?.cache]).toEqual([
      'https://a.test/',
      'bytes=2-',
      'reload',
    ]);
  });

  it('gives answers without a body, and those to refuse', async () => {
    const fetch = through((url) =>
      Promise.resolve(url.endsWith('204') ? new Response(null, { status: 204 }) : Response.error()),
    );
    expect((await fetch('https://a.test/204')).body).toBeNull();
    await expect(fetch('https://a.test/')).rejects.toThrow(RangeError);
  });

  it('rejects as the other one does', async () => {
    const fetch = through(() => Promise.reject(new Error('no key for this model')));
    await expect(fetch('https://a.test/')).rejects.toThrow('no key for this model');
  });

  it('breaks off where the body does', async () => {
    const body = new ReadableStream({
      pull(controller) {
        controller.error(new Error('cut'));
      },
    });
    const response = await through(() => Promise.resolve(new Response(body)))('https://a.test/');
    await expect(response.text()).rejects.toThrow('cut');
  });

  it('reads no more than is asked for, and a view of something larger as what it is', async () => {
    let pulls = 0;
    const large = new Uint8Array(1000).map((_, i) => i);
    const body = new ReadableStream<Uint8Array>(
      { pull: (controller) => controller.enqueue(large.subarray(pulls, ++pulls)) },
      { highWaterMark: 0 },
    );
    const response = await through(() => Promise.resolve(new Response(body)))('https://a.test/');
    const reader = response.body!.getReader();
    expect(pulls).toBe(0);
    expect((await reader.read()).value).toEqual(Uint8Array.of(0));
    expect((await reader.read()).value).toEqual(Uint8Array.of(1));
    expect(pulls).toBe(2);
    await reader.cancel();
  });

  it.each(['before the answer', 'while nobody reads', 'while the body is read'])(
    'is aborted %s',
    async (when) => {
      const cancelled = vi.fn<() => void>();
      let inner: AbortSignal | null | undefined;
      const fetch = through((_, init) => {
        inner = init?.signal;
        const never = new ReadableStream({ cancel: cancelled });
        return when === 'before the answer' ? new Promise(() => {}) : Promise.resolve(new Response(never));
      });
      const controller = new AbortController();
      const reason = new Error('enough');
      const answer = fetch('https://a.test/', { signal: controller.signal });
      const text = when === 'before the answer' ? answer : (await answer).body!.getReader();
      const reading = 'read' in text && when === 'while the body is read' ? text.read() : undefined;
      await vi.waitFor(() => expect(inner).toBeDefined());
      controller.abort(reason);
      await expect(reading ?? ('read' in text ? text.read() : text)).rejects.toBe(reason);
      await vi.waitFor(() => expect(inner!.aborted).toBe(true));
      if (when !== 'before the answer') await vi.waitFor(() => expect(cancelled).toHaveBeenCalled());
      await expect(fetch('https://a.test/', { signal: controller.signal })).rejects.toBe(reason);
    },
  );

  it('downloads a model through cuts, byte for byte', async () => {
    let cuts = 0;
    const server = new FakeServer(servedModel(SHARDS), {
      cut: (name) =>
        name.endsWith('.safetensors') && cuts++ < 3 ? { after: 1500, silently: false } : undefined,
    });
    const files = await openModelFiles(MODEL_URL, { fetch: through(server.fetch), retry: noPause });
    for (const [index, shard] of SHARDS.entries()) {
      expect(await files.read(shardName(index, SHARDS.length))).toEqual(shard);
    }
    expect(server.requests.filter(({ status }) => status === 206).length).toBeGreaterThanOrEqual(2);
  });
});

describe('the fetch of LanguageModel.create', () => {
  it('fetches the files of the engine, once for its sessions, and is let go with the last of them', async () => {
    const server = new FakeServer(servedModel(SHARDS));
    const fetch = vi.fn(server.fetch);
    vi.stubGlobal('navigator', {});
    vi.stubGlobal('document', { baseURI: MODEL_URL });
    const given: (MessagePort | undefined)[] = [];
    const createWorker = (): Worker => {
      const { port1, port2 } = new MessageChannel();
      ports.push(port1, port2);
      const host = new EngineHost(async ({ url, fetch: port }) => {
        given.push(port);
        const files = await openModelFiles(url, { fetch: portFetch(port!) });
        for (const { name } of loadedFiles(files.manifest)) await files.read(name);
        const adapter = { engine: 'webgpu', name: 'fake', isSoftware: true } as const;
        const nothing = { weights: 0, kvCache: 0, images: 0, activations: 0, total: 0 };
        return {
          engine: new ChatEngine(new FakeModel(), fakeCodec),
          info: {
            model: files.manifest.name,
            adapter,
            contextWindow: 1000,
            memoryBytes: 1,
            memoryBudget: { loaded: nothing, full: nothing },
            keptOffline: false,
          },
          readPicture: () => Promise.reject(new Error('no pictures here')),
          readFrame: () => Promise.reject(new Error('no pictures here')),
        };
      });
      Comlink.expose(host, port2);
      port1.start();
      return Object.assign(port1, { terminate: () => host.close() }) as unknown as Worker;
    };
    const options = { model: MODEL_URL, fetch, createWorker };
    const session = await LanguageModel.create(options);
    expect(fetch.mock.calls.map(([url]) => url)).toContain(`${MODEL_URL}${shardName(1, 2)}`);
    const asked = fetch.mock.calls.length;
    const other = await LanguageModel.create(options);
    expect(fetch).toHaveBeenCalledTimes(asked);
    const closed = new Promise((resolve) => given[0]!.addEventListener('close', resolve));
    session.destroy();
    other.destroy();
    await closed;
    expect(given).toHaveLength(1);
  });
});
