import { SpeedqError } from '@speedq/format';
import * as Comlink from 'comlink';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EngineClient } from './engine-client.ts';
import { toWire } from './error-transfer.ts';
import { fakeLocks } from './testing/fake-locks.ts';
import type { EngineApi, OutputMessage } from './protocol.ts';

/** An engine behind a real message channel, so that everything is cloned as on the way to a worker. */
function startWorker(api: Partial<EngineApi>) {
  const { port1, port2 } = new MessageChannel();
  let die!: (error: Error) => void;
  const life = new Promise<never>((_, reject) => (die = reject));
  life.catch(() => {});
  const engine: Partial<EngineApi> = {
    hello: (lock) =>
      new Promise((held) => {
        void navigator.locks
          .request(lock, () => {
            held();
            return life;
          })
          .catch(() => {});
      }),
    abort: vi.fn(() => Promise.resolve()),
    ...api,
  };
  Comlink.expose(engine, port2);
  const worker = Object.assign(port1, {
    terminate: () => {
      port1.close();
      port2.close();
    },
  }) as unknown as Worker;
  port1.start();
  return {
    client: new EngineClient(worker),
    engine,
    die: () => die(new Error('gone')),
    close: () => port2.close(),
  };
}

const NOTHING = { weights: 0, kvCache: 0, images: 0, activations: 0, total: 0 };
const info = {
  model: 'm',
  adapter: { engine: 'webgpu' as const, name: 'a', isSoftware: true },
  contextWindow: 1,
  memoryBytes: 2,
  memoryBudget: { loaded: NOTHING, full: NOTHING },
  keptOffline: true,
};

describe('EngineClient', () => {
  beforeEach(() => vi.stubGlobal('navigator', { locks: fakeLocks() }));
  afterEach(() => vi.unstubAllGlobals());

  it('errors keep class, code and message', async () => {
    const { client } = startWorker({
      open: () => Promise.reject(new SpeedqError('checksum-mismatch', 'shard 1: altered')),
    });
    const error = await client.open({ url: '' }, () => {}).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SpeedqError);
    expect(error).toMatchObject({ code: 'checksum-mismatch', message: 'shard 1: altered' });
    client.terminate();
  });

  it('an unforeseen error arrives as internal', async () => {
    const { client } = startWorker({ measure: () => Promise.reject(new RangeError('oops')) });
    const call = client.request((remote, request) => remote.measure(request, 1, []));
    await expect(call).rejects.toMatchObject({ name: 'SpeedqError', code: 'internal', message: /oops/ });
    client.terminate();
  });

  it('passes on progress and text in order', async () => {
    const progress = { loaded: 1, total: 2, source: 'network', adapter: info.adapter } as const;
    const { client } = startWorker({
      open: (_options, port) => {
        port.postMessage(progress);
        return new Promise((resolve) => setTimeout(() => resolve(info), 20));
      },
      prompt: (_request, _session, _messages, _options, output) => {
        const send = (message: OutputMessage): void => output.postMessage(message);
        send({ text: 'a ' });
        send({ token: { text: 'cat', logProb: -1, top: [] } });
        send({ text: 'cat' });
        send({ done: { contextUsage: 9, contextWindow: 1, droppedMessages: 0, stats: {} as never } });
        return Promise.resolve();
      },
    });
    const seen: unknown[] = [];
    expect(await client.open({ url: '' }, (message) => seen.push(message))).toEqual(info);
    expect(seen).toEqual([progress]);
    let text = '';
    const tokens: unknown[] = [];
    const onToken = (token: unknown): void => void tokens.push(token);
    const end = await client.prompt(1, [], {}, (piece) => (text += piece), undefined, onToken);
    expect(tokens).toEqual([{ text: 'cat', logProb: -1, top: [] }]);
    expect(text).toBe('a cat');
    expect(end.contextUsage).toBe(9);
    client.terminate();
  });

  it('an error in the middle of an answer rejects it', async () => {
    const { client } = startWorker({
      prompt: (_request, _session, _messages, _options, output) => {
        output.postMessage({ text: 'a ' });
        output.postMessage({ error: toWire(new SpeedqError('device-lost', 'gone')) });
        return Promise.resolve();
      },
    });
    await expect(client.prompt(1, [], {}, () => {})).rejects.toMatchObject({ code: 'device-lost' });
    client.terminate();
  });

  it("aborting rejects at once with the signal's reason and tells the worker which request", async () => {
    const { client, engine } = startWorker({ prompt: () => new Promise(() => {}) });
    const controller = new AbortController();
    const answer = client.prompt(1, [], {}, () => {}, controller.signal);
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(answer).rejects.toBe(reason);
    await vi.waitFor(() => expect(engine.abort).toHaveBeenCalledWith(1));
    client.terminate();
  });

  it('what was aborted before it began never reaches the worker', async () => {
    const prompt = vi.fn(() => Promise.resolve());
    const { client } = startWorker({ prompt });
    const answer = client.prompt(1, [], {}, () => {}, AbortSignal.abort(new Error('never mind')));
    await expect(answer).rejects.toThrow('never mind');
    expect(prompt).not.toHaveBeenCalled();
    client.terminate();
  });

  it('what is pending rejects when the worker dies', async () => {
    const { client, die } = startWorker({
      open: () => Promise.resolve(info),
      prompt: () => new Promise(() => {}),
    });
    await client.open({ url: '' }, () => {});
    const answer = client.prompt(1, [], {}, () => {});
    die();
    await expect(answer).rejects.toMatchObject({ code: 'worker-died' });
    await expect(client.request((remote) => remote.cloneSession(1))).rejects.toMatchObject({
      code: 'worker-died',
    });
    client.terminate();
  });

  it('what is pending rejects when the session is destroyed', async () => {
    const { client } = startWorker({ prompt: () => new Promise(() => {}) });
    const answer = client.prompt(1, [], {}, () => {});
    client.terminate();
    await expect(answer).rejects.toMatchObject({ code: 'aborted' });
  });
});
