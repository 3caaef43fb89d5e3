import { DownloadProgressEvent, LanguageModel, SpeedqError } from '@speedq/runtime';
import type { LanguageModelContent, LanguageModelCreateOptions, LanguageModelPrompt } from '@speedq/runtime';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Chat } from './chat.ts';

const adapter = { name: 'test', isSoftware: true };

/** A session that answers with what it was asked, word by word, and waits where the question says so. */
class FakeSession {
  static readonly all: FakeSession[] = [];
  readonly asked: LanguageModelContent[][] = [];
  contextUsage = 1;
  destroyed = false;
  readonly info = { adapter, memoryBytes: 5, tokensPerSecond: 7, firstTokenSeconds: 2, keptOffline: true };

  constructor() {
    FakeSession.all.push(this);
  }

  clone(): Promise<FakeSession> {
    return Promise.resolve(new FakeSession());
  }

  async measureContextUsage(prompt: LanguageModelPrompt): Promise<number> {
    const [part] = partsOf(prompt);
    if (part.type === 'image' && (await (part.value as Blob).text()) === 'broken') {
      throw new SpeedqError('invalid-image', 'The picture cannot be read.');
    }
    return 1;
  }

  promptStreaming(prompt: LanguageModelPrompt, { signal }: { signal: AbortSignal }): ReadableStream<string> {
    const parts = partsOf(prompt);
    this.asked.push(parts);
    this.contextUsage += 10;
    const question = parts.find((part) => part.type === 'text')!.value;
    return new ReadableStream({
      start(controller) {
        if (question === 'fail') throw new SpeedqError('device-lost', 'The device was lost.');
        for (const word of ['You ', 'said ', question]) controller.enqueue(word);
        const stop = (): void => controller.error(signal.reason);
        if (signal.aborted) stop();
        else if (question === 'wait') signal.addEventListener('abort', stop);
        else controller.close();
      },
    });
  }

  destroy(): void {
    this.destroyed = true;
  }
}

function partsOf(prompt: LanguageModelPrompt): LanguageModelContent[] {
  if (typeof prompt === 'string') throw new Error('The page sends messages');
  return [...(prompt[0].content as LanguageModelContent[])];
}

const kinds = (parts: readonly LanguageModelContent[]): string => parts.map(({ type }) => type).join('+');

async function loaded(remembersTurns = false): Promise<Chat> {
  const chat = new Chat({ model: 'm/', createWorker: () => undefined as never, remembersTurns });
  await chat.load();
  return chat;
}

const create = vi.spyOn(LanguageModel, 'create');

beforeEach(() => {
  FakeSession.all.length = 0;
  create.mockImplementation(() => Promise.resolve(new FakeSession() as never));
});
afterEach(() => create.mockReset());

describe('loading', () => {
  it('shows progress, then the session', async () => {
    const seen: string[] = [];
    create.mockImplementation(({ monitor }: LanguageModelCreateOptions) => {
      const target = new EventTarget();
      monitor?.(target);
      target.dispatchEvent(new DownloadProgressEvent({ loaded: 1, total: 4, source: 'network', adapter }));
      return Promise.resolve(new FakeSession() as never);
    });
    const chat = new Chat({ model: 'm/', createWorker: () => undefined as never, remembersTurns: false });
    chat.subscribe(() => {
      const { loading } = chat.state;
      seen.push(loading.status === 'loading' ? `${loading.progress?.fraction}` : loading.status);
    });
    await chat.load();
    expect(seen).toEqual(['undefined', '0.25', 'ready']);
  });

  it('a failure shows its code and can be retried', async () => {
    create.mockRejectedValueOnce(new SpeedqError('network', 'No answer.'));
    const chat = await loaded();
    expect(chat.state.loading).toEqual({
      status: 'failed',
      problem: { code: 'network', message: 'No answer.' },
    });
    await chat.load();
    expect(chat.state.loading.status).toBe('ready');
  });
});

describe('asking', () => {
  it('streams the answer into its turn', async () => {
    const chat = await loaded();
    const seen = new Set<string>();
    chat.subscribe(() => seen.add(chat.state.turns.at(-1)?.answer ?? ''));
    await chat.ask(' hello ');
    expect([...seen]).toEqual(['', 'You ', 'You said ', 'You said hello']);
    expect(chat.state.turns).toMatchObject([
      {
        question: 'hello',
        answer: 'You said hello',
        status: 'done',
        tokensPerSecond: 7,
        firstTokenSeconds: 2,
      },
    ]);
  });

  it('ignores empty questions and those asked during an answer', async () => {
    const chat = await loaded();
    await chat.ask('  ');
    const first = chat.ask('wait');
    await chat.ask('second');
    chat.stop();
    await first;
    expect(chat.state.turns.map(({ question }) => question)).toEqual(['wait']);
  });

  it('a stopped answer keeps what came and the next question works', async () => {
    const chat = await loaded();
    const first = chat.ask('wait');
    await vi.waitFor(() => expect(chat.state.turns[0].answer).toBe('You said wait'));
    chat.stop();
    await first;
    expect(chat.state.turns[0]).toMatchObject({ status: 'stopped', answer: 'You said wait' });
    await chat.ask('again');
    expect(chat.state.turns[1].status).toBe('done');
  });

  it('a failed answer shows the code', async () => {
    const chat = await loaded();
    await chat.ask('fail');
    expect(chat.state.turns[0]).toMatchObject({ status: 'failed', problem: { code: 'device-lost' } });
  });
});

describe('pictures', () => {
  it('a refused one changes nothing but the message', async () => {
    const chat = await loaded();
    await chat.attach(new Blob(['cat']), 'cat.png');
    expect(await chat.attach(new Blob(['broken']), 'broken.png')).toBe(false);
    expect(chat.state.picture?.name).toBe('cat.png');
    expect(chat.state.pictureProblem?.code).toBe('invalid-image');
    chat.dismissPictureProblem();
    expect(chat.state.pictureProblem).toBeUndefined();
  });

  it('a question asked while a picture is being read is about that picture', async () => {
    const chat = await loaded(false);
    await chat.attach(new Blob(['cat']), 'cat.png');
    const attached = chat.attach(new Blob(['dog']), 'dog.png');
    await chat.ask('which?');
    expect(await attached).toBe(true);
    expect(chat.state.turns[0].picture?.name).toBe('dog.png');
  });

  it('without memory every question brings its picture to a session of its own', async () => {
    const chat = await loaded(false);
    await chat.attach(new Blob(['cat']), 'cat.png');
    await chat.ask('one');
    await chat.ask('two');
    chat.detach();
    await chat.ask('three');
    const [, ...sessions] = FakeSession.all;
    expect(sessions.map(({ asked }) => asked.map(kinds))).toEqual([['image+text'], ['image+text'], ['text']]);
    expect(sessions.every(({ destroyed }) => destroyed)).toBe(true);
  });

  it('with memory a picture is sent once, and another one begins anew', async () => {
    const chat = await loaded(true);
    await chat.attach(new Blob(['cat']), 'cat.png');
    await chat.ask('one');
    await chat.ask('two');
    await chat.attach(new Blob(['dog']), 'dog.png');
    await chat.ask('three');
    const [, ...sessions] = FakeSession.all;
    expect(sessions.map(({ asked }) => asked.map(kinds))).toEqual([['image+text', 'text'], ['image+text']]);
    expect(sessions.map(({ destroyed }) => destroyed)).toEqual([true, false]);
    chat.startAfresh();
    expect(sessions[1].destroyed).toBe(true);
    expect(chat.state).toMatchObject({ turns: [], picture: undefined });
  });
});
