import { SpeedqError } from '@speedq/runtime';
import type { LanguageModelMessage } from '@speedq/runtime';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { DEFAULT_ANSWER_SETTINGS } from '../chat/sampling.ts';
import { pathTo, siblingsOf } from '../chat/tree.ts';
import type { Message, Picture } from '../chat/types.ts';
import { memoryChatStorage } from '../storage/chat-storage.ts';
import { AnsweringStore } from './answering.ts';
import { ChatsStore } from './chats.ts';

interface Asked {
  readonly history: readonly LanguageModelMessage[];
  readonly prompt: readonly LanguageModelMessage[];
}

/** Answers with the question, word by word; waits where it says 'wait'. */
class FakeModel {
  readonly asked: Asked[] = [];
  open = 0;
  state = { choice: { id: 'fake' }, loading: { status: 'ready' } };

  session({ initialPrompts: history = [] }: { initialPrompts?: readonly LanguageModelMessage[] }) {
    this.open++;
    return Promise.resolve({
      info: { tokensPerSecond: 7, firstTokenSeconds: 2, finishReason: 'stop' },
      contextUsage: 12,
      contextWindow: 100,
      destroy: () => this.open--,
      promptStreaming: (prompt: LanguageModelMessage[], { signal }: { signal: AbortSignal }) => {
        this.asked.push({ history, prompt });
        const part = prompt[0].content.at(-1) as { value: string };
        return new ReadableStream<string>({
          start(controller) {
            if (part.value === 'fail') throw new SpeedqError('device-lost', 'The device was lost.');
            for (const word of ['You ', 'said ', part.value]) controller.enqueue(word);
            const stop = (): void => controller.error(signal.reason);
            if (part.value !== 'wait') controller.close();
            else signal.addEventListener('abort', stop);
          },
        });
      },
    });
  }
}

let model: FakeModel;
let chats: ChatsStore;
let answering: AnsweringStore;
const problems: unknown[] = [];

function start(remembersTurns = true, storage = memoryChatStorage()): void {
  model = new FakeModel();
  chats = new ChatsStore(storage);
  answering = new AnsweringStore({
    chats,
    model: model as never,
    settings: () => DEFAULT_ANSWER_SETTINGS,
    remembersTurns: () => remembersTurns,
    onStorageProblem: (error) => problems.push(error),
  });
}

beforeEach(() => start());

const path = (): Message[] => pathTo(chats.state.open.messages, chats.state.open.chat.leafId);
const shown = (): string[] => path().map(({ text }) => text);

describe('asking', () => {
  it('keeps question and answer, and names the chat after the first question', async () => {
    await answering.ask(' hello ', []);
    await answering.ask('again', []);
    expect(shown()).toEqual(['hello', 'You said hello', 'again', 'You said again']);
    expect(path()[1].answer).toMatchObject({ status: 'done', tokensPerSecond: 7, contextUsage: 12 });
    expect(chats.state.chats.map(({ title }) => title)).toEqual(['hello']);
    expect(model.asked[1].history.map(({ role }) => role)).toEqual(['user', 'assistant']);
    expect(model.open).toBe(0);
    chats.startNew();
    expect(shown()).toEqual([]);
    await chats.openChat(chats.state.chats[0].id);
    expect(shown()).toHaveLength(4);
  });

  it('tells only what is new to those who listen', async () => {
    const pieces: string[] = [];
    answering.subscribe(() => answering.state.live?.subscribe((piece) => pieces.push(piece)));
    await answering.ask('hello', []);
    expect(pieces).toEqual(['You ', 'said ', 'hello']);
  });

  it('ignores empty questions and those asked during an answer', async () => {
    await answering.ask('  ', []);
    const first = answering.ask('wait', []);
    await answering.ask('second', []);
    answering.stop();
    await first;
    expect(shown()).toEqual(['wait', '']);
    expect(path()[1].answer?.status).toBe('stopped');
  });

  it('a stopped answer keeps what came', async () => {
    const first = answering.ask('wait', []);
    await vi.waitFor(() => expect(answering.state.live?.text).toBe('You said wait'));
    answering.stop();
    await first;
    expect(path()[1]).toMatchObject({ text: 'You said wait', answer: { status: 'stopped' } });
    await answering.ask('again', []);
    expect(path()[3].answer?.status).toBe('done');
  });

  it('a failed answer says why and is not told to the model', async () => {
    await answering.ask('fail', []);
    expect(path()[1].answer).toMatchObject({ status: 'failed', problem: { code: 'device-lost' } });
    await answering.ask('next', []);
    expect(model.asked[1].history).toEqual([]);
  });

  it('goes on while another chat is shown', async () => {
    const first = answering.ask('wait', []);
    await vi.waitFor(() => expect(answering.state.live?.text).toBe('You said wait'));
    const { id } = chats.state.open.chat;
    chats.startNew();
    answering.stop();
    await first;
    expect(shown()).toEqual([]);
    await chats.openChat(id);
    expect(shown()).toEqual(['wait', 'You said wait']);
  });

  it('answers even when nothing can be kept', async () => {
    const storage = memoryChatStorage();
    start(true, { ...storage, save: () => Promise.reject(new Error('full')) });
    await answering.ask('hello', []);
    expect(shown()).toEqual(['hello', 'You said hello']);
    expect(problems.length).toBeGreaterThan(0);
  });
});

describe('branches', () => {
  it('another answer stands beside the first', async () => {
    await answering.ask('hello', []);
    const [, first] = path();
    await answering.regenerate(first);
    const [, second] = path();
    expect(second.id).not.toBe(first.id);
    expect(siblingsOf(chats.state.open.messages, second).map(({ id }) => id)).toEqual([first.id, second.id]);
    await chats.showSibling(second, -1);
    expect(path()[1].id).toBe(first.id);
    await chats.showSibling(first, -1);
    expect(path()[1].id).toBe(first.id);
  });

  it('an edited question begins a branch with the same pictures', async () => {
    const picture: Picture = { id: 'cat', name: 'cat.png', blob: new Blob(['cat']) };
    await answering.ask('one', [picture]);
    await answering.ask('two', []);
    await answering.edit(path()[0], 'uno');
    expect(shown()).toEqual(['uno', 'You said uno']);
    expect(path()[0].pictures).toEqual(['cat']);
    expect(model.asked[2]).toMatchObject({
      history: [],
      prompt: [{ content: [{ type: 'image', value: picture.blob }, { type: 'text' }] }],
    });
    await chats.showSibling(path()[0], -1);
    expect(shown()).toHaveLength(4);
  });

  it('without memory every question stands alone', async () => {
    start(false);
    await answering.ask('one', []);
    await answering.ask('two', []);
    expect(model.asked.map(({ history }) => history)).toEqual([[], []]);
  });
});

describe('the list of chats', () => {
  it('is searched, renamed, deleted and brought back', async () => {
    await answering.ask('about a fox', []);
    chats.startNew();
    await answering.ask('about a cow', []);
    await chats.search('fox');
    expect(chats.state.found.map(({ title }) => title)).toEqual(['about a fox']);
    const [{ id }] = chats.state.found;
    await chats.search('');
    await chats.rename(id, ' Renard ');
    expect(chats.state.chats.find((chat) => chat.id === id)?.title).toBe('Renard');
    const removed = await chats.remove(id);
    expect(chats.state.chats).toHaveLength(1);
    await chats.restore([removed!]);
    expect(chats.state.open.chat.title).toBe('Renard');
    expect(shown()).toEqual(['about a fox', 'You said about a fox']);
    await chats.removeAll();
    expect(chats.state.chats).toEqual([]);
  });
});
