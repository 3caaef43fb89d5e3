import * as Comlink from 'comlink';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ChatEngine } from './engine.ts';
import { EngineHost } from './engine-host.ts';
import type { OpenEngine } from './engine-host.ts';
import { LanguageModel } from './language-model.ts';
import type { LanguageModelCreateOptions } from './language-model-options.ts';
import { memoryStorage } from './loading/storage.ts';
import type { ModelStorage } from './loading/storage.ts';
import { useModel } from './loading/use-model.ts';
import { loadedFiles } from './loading/wanted-files.ts';
import { fakeLocks } from './testing/fake-locks.ts';
import { FakeModel, fakeCodec } from './testing/fake-model.ts';
import { FakeServer } from './testing/fake-server.ts';
import { MODEL_URL, servedModel } from './testing/served-model.ts';

const NOTHING = { weights: 0, kvCache: 0, images: 0, activations: 0, total: 0 };
const server = new FakeServer(servedModel([new Uint8Array(5000), new Uint8Array(3000)]));

/** Counts what is open at the moment. */
const open = { workers: 0, files: 0, listeners: 0, models: 0 };
let locks: ReturnType<typeof fakeLocks>;
let hosts: EngineHost[];

function counting(storage: ModelStorage): ModelStorage {
  return {
    ...storage,
    append: async (name, length) => {
      const file = await storage.append(name, length);
      open.files++;
      return { ...file, close: () => (open.files--, file.close()) };
    },
  };
}

class CountedModel extends FakeModel {
  constructor() {
    super();
    open.models++;
  }

  override destroy(): void {
    super.destroy();
    open.models--;
  }
}

/** Opens as a worker does, with a server and a model of this process. */
const openEngine: OpenEngine = async (_request, onProgress) =>
  await useModel(
    MODEL_URL,
    { fetch: server.fetch, storage: counting(memoryStorage()), isShared: true },
    async (files) => {
      const adapter = { engine: 'webgpu', name: 'fake', isSoftware: true } as const;
      for (const { name, bytes } of loadedFiles(files.manifest)) {
        await files.read(name);
        onProgress({ loaded: bytes, total: bytes, source: 'network', adapter });
      }
      const engine = new ChatEngine(new CountedModel(), fakeCodec);
      const memoryBudget = { loaded: NOTHING, full: NOTHING };
      const info = {
        model: 'm',
        adapter,
        contextWindow: 1000,
        memoryBytes: 1,
        memoryBudget,
        keptOffline: true,
      };
      const unread = () => Promise.reject(new Error('no pictures here'));
      return { engine, info, readPicture: unread, readFrame: unread };
    },
  );

/** A worker whose thread is this one: what it holds goes when it is terminated. */
function createWorker(): Worker {
  const { port1, port2 } = new MessageChannel();
  const host = new EngineHost(openEngine);
  hosts.push(host);
  Comlink.expose(host, port2);
  port1.start();
  open.workers++;
  let isOver = false;
  const terminate = (): void => {
    if (isOver) return;
    isOver = true;
    open.workers--;
    host.close();
    port1.close();
    port2.close();
    locks.drop('speedq-worker-');
  };
  return Object.assign(port1, { terminate }) as unknown as Worker;
}

/** A signal of the page that outlives every session: who listens must also stop. */
function countedSignal(): AbortSignal {
  const { signal } = new AbortController();
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  vi.spyOn(signal, 'addEventListener').mockImplementation((...args: Parameters<typeof add>) => {
    open.listeners++;
    add(...args);
  });
  vi.spyOn(signal, 'removeEventListener').mockImplementation((...args: Parameters<typeof remove>) => {
    open.listeners--;
    remove(...args);
  });
  return signal;
}

describe('sessions that come and go', () => {
  beforeEach(() => {
    locks = fakeLocks();
    hosts = [];
    vi.stubGlobal('navigator', { locks });
    vi.stubGlobal('document', { baseURI: 'https://page.test/' });
  });
  afterEach(() => vi.unstubAllGlobals());

  it('leave nothing behind, 100 times', async () => {
    const signal = countedSignal();
    const options: LanguageModelCreateOptions = { model: './model/', createWorker, signal };
    for (let cycle = 0; cycle < 100; cycle++) {
      const session = await LanguageModel.create(options);
      expect(open).toMatchObject({ workers: 1, models: 1, files: 0 });
      const other = cycle % 2 === 0 ? await session.clone({ signal }) : undefined;
      const answer = session.prompt('HELLO', { signal });
      if (cycle % 3 === 0) {
        // In the middle of the answer.
        session.destroy();
        await expect(answer).rejects.toMatchObject({ code: 'aborted' });
      } else {
        expect(await answer).not.toBe('');
        session.destroy();
      }
      other?.destroy();
      expect(open, `after cycle ${cycle}`).toEqual({ workers: 0, files: 0, listeners: 0, models: 0 });
    }
    await vi.waitFor(() => expect(locks.held).toBe(0));
  });

  it('are made while others are given up, and nothing is left', async () => {
    for (let cycle = 0; cycle < 20; cycle++) {
      const controller = new AbortController();
      const creating = LanguageModel.create({ model: './model/', createWorker, signal: controller.signal });
      // At another step of opening each time.
      for (let step = 0; step < cycle; step++) await new Promise((resolve) => setImmediate(resolve));
      controller.abort(new Error('enough'));
      const session = await creating.catch((error: unknown) => error);
      if (session instanceof LanguageModel) session.destroy();
      else expect(session).toMatchObject({ message: 'enough' });
      expect(open.workers).toBe(0);
    }
    await vi.waitFor(() => expect(open).toEqual({ workers: 0, files: 0, listeners: 0, models: 0 }));
  });

  it('end together with their worker, at once; the next one gets another', async () => {
    const session = await LanguageModel.create({ model: './model/', createWorker });
    const answers = [session.prompt('A'), session.append('B'), session.measureContextUsage('C')];
    locks.drop('speedq-worker-');
    for (const answer of answers) {
      await expect(answer).rejects.toMatchObject({ code: 'worker-died', isRetryable: true });
    }
    await expect(session.prompt('D')).rejects.toMatchObject({ code: 'worker-died' });
    const next = await LanguageModel.create({ model: './model/', createWorker });
    expect(await next.prompt('HELLO')).not.toBe('');
    next.destroy();
    session.destroy();
    expect(open.workers).toBe(0);
  });
});
