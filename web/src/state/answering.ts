import { errorCode } from '@speedq/runtime';
import type { AnswerSettings } from '../chat/sampling.ts';
import { samplingOptions } from '../chat/sampling.ts';
import { promptFor } from '../chat/prompt.ts';
import { titleFrom } from '../chat/title.ts';
import { pathTo } from '../chat/tree.ts';
import type { Messages } from '../chat/tree.ts';
import type { AnswerFacts, Chat, Message, Picture } from '../chat/types.ts';
import type { ModelStore } from './model.ts';
import type { ChatsStore, OpenChat } from './chats.ts';
import { LiveAnswer } from './live-answer.ts';
import { toProblem } from './problem.ts';
import { Store } from './store.ts';

export interface AnsweringState {
  /** The answer that is coming; one at a time, whichever chat is shown. */
  readonly live: LiveAnswer | undefined;
}

export interface AnsweringOptions {
  readonly chats: ChatsStore;
  readonly model: Pick<ModelStore, 'session' | 'state'>;
  readonly settings: () => AnswerSettings;
  /** Whether the model in use follows a conversation; otherwise every question is asked by itself. */
  readonly remembersTurns: () => boolean;
  /** Told when something could not be kept. */
  readonly onStorageProblem: (error: unknown) => void;
}

/** While one is held, the app is not replaced by a newer version, in no tab. */
export const ANSWERING_LOCK = 'speedq-answering';

/** How often an unfinished answer is kept. */
const KEEP_MILLISECONDS = 2000;

/** Asks the model and keeps what it says. */
export class AnsweringStore extends Store<AnsweringState> {
  private readonly options: AnsweringOptions;
  private stopping: AbortController | undefined;

  constructor(options: AnsweringOptions) {
    super({ live: undefined });
    this.options = options;
  }

  get busy(): boolean {
    return this.stopping !== undefined;
  }

  stop(): void {
    this.stopping?.abort();
  }

  /** Asks at the end of the open chat. Does nothing while an answer is coming. */
  async ask(text: string, pictures: readonly Picture[]): Promise<void> {
    const { open } = this.options.chats.state;
    await this.askUnder(open, open.chat.leafId, text, pictures);
  }

  /** Asks a question again in other words, on a branch of its own. */
  async edit(question: Message, text: string): Promise<void> {
    const { open } = this.options.chats.state;
    const pictures = question.pictures
      .map((id) => open.pictures.get(id))
      .filter((picture) => picture !== undefined);
    await this.askUnder(open, question.parentId, text, pictures);
  }

  /** Another answer to the same question, beside the first. */
  async regenerate(answer: Message): Promise<void> {
    const { open } = this.options.chats.state;
    const question = answer.parentId === null ? undefined : open.messages.get(answer.parentId);
    if (question && !this.busy) await this.answer(open, question);
  }

  private async askUnder(
    open: OpenChat,
    parentId: string | null,
    text: string,
    pictures: readonly Picture[],
  ): Promise<void> {
    const question = text.trim();
    if (this.busy || question === '' || this.options.model.state.loading.status !== 'ready') return;
    const now = timeAfter(open.messages);
    const message: Message = {
      id: crypto.randomUUID(),
      chatId: open.chat.id,
      parentId,
      role: 'user',
      text: question,
      pictures: pictures.map(({ id }) => id),
      createdAt: now,
    };
    const chat: Chat = {
      ...open.chat,
      title: open.chat.title === '' ? titleFrom(question) : open.chat.title,
      leafId: message.id,
      updatedAt: now,
    };
    const added = new Map(pictures.map((picture) => [picture.id, picture]));
    await this.answer(
      {
        chat,
        messages: new Map([...open.messages, [message.id, message]]),
        pictures: new Map([...open.pictures, ...added]),
      },
      message,
      pictures,
    );
  }

  private async answer(open: OpenChat, question: Message, newPictures: readonly Picture[] = []) {
    const stopping = new AbortController();
    this.stopping = stopping;
    const model = this.options.model.state.choice.id;
    let message: Message = {
      id: crypto.randomUUID(),
      chatId: open.chat.id,
      parentId: question.id,
      role: 'assistant',
      text: '',
      pictures: [],
      createdAt: timeAfter(open.messages),
      answer: { status: 'answering', model },
    };
    let live = new LiveAnswer(message.id);
    this.update({ live });
    const chat: Chat = { ...open.chat, leafId: message.id, updatedAt: message.createdAt };
    await this.keep({ chat, messages: [question, message], pictures: newPictures });
    const keeping = setInterval(() => {
      message = { ...message, text: live.text };
      void this.keep({ messages: [message] });
    }, KEEP_MILLISECONDS);
    let facts: AnswerFacts;
    try {
      facts = await holding(ANSWERING_LOCK, async () => {
        try {
          return await this.generate(open, question, live, stopping.signal, model);
        } catch (error) {
          if (!isWorthAnotherTry(error)) throw error;
          // The engine is gone with the answer's beginning; another one begins anew.
          live = new LiveAnswer(message.id);
          this.update({ live });
          return await this.generate(open, question, live, stopping.signal, model);
        }
      });
    } catch (error) {
      facts = stopping.signal.aborted
        ? { status: 'stopped', model }
        : { status: 'failed', model, problem: toProblem(error) };
    } finally {
      clearInterval(keeping);
    }
    await this.keep({ messages: [{ ...message, text: live.text, answer: facts }] });
    this.stopping = undefined;
    this.update({ live: undefined });
  }

  private async generate(
    open: OpenChat,
    question: Message,
    live: LiveAnswer,
    signal: AbortSignal,
    model: string,
  ): Promise<AnswerFacts> {
    const settings = this.options.settings();
    const { initialPrompts, prompt } = promptFor(pathTo(open.messages, question.id), {
      remembersTurns: this.options.remembersTurns(),
      systemPrompt: settings.systemPrompt,
      pictureOf: (id) => open.pictures.get(id)?.blob,
    });
    const session = await this.options.model.session({
      ...samplingOptions(settings),
      initialPrompts,
      signal,
    });
    try {
      signal.throwIfAborted();
      const { maxNewTokens } = settings;
      const reader = session.promptStreaming(prompt, { signal, maxNewTokens }).getReader();
      // Safari has no async iteration of streams.
      for (let next = await reader.read(); !next.done; next = await reader.read()) live.append(next.value);
      const { tokensPerSecond, firstTokenSeconds, finishReason } = session.info;
      return {
        status: finishReason === 'length' ? 'cut' : 'done',
        model,
        tokensPerSecond,
        firstTokenSeconds,
        contextUsage: session.contextUsage,
        contextWindow: session.contextWindow,
      };
    } finally {
      session.destroy();
    }
  }

  private async keep(change: Parameters<ChatsStore['keep']>[0]): Promise<void> {
    try {
      await this.options.chats.keep(change);
    } catch (error) {
      this.options.onStorageProblem(error);
    }
  }
}

/** An engine that ended by itself: the next one may not. */
function isWorthAnotherTry(error: unknown): boolean {
  return ['device-lost', 'worker-died'].includes(errorCode(error) ?? '');
}

/** Now, but after every message there is, whatever the clock does: versions are ordered by their time. */
function timeAfter(messages: Messages): number {
  return Math.max(Date.now(), ...Array.from(messages.values(), ({ createdAt }) => createdAt + 1));
}

/** Runs `work` while holding a lock that others may hold too. */
function holding<T>(lock: string, work: () => Promise<T>): Promise<T> {
  const locks = globalThis.navigator?.locks;
  return locks ? (locks.request(lock, { mode: 'shared' }, work) as Promise<T>) : work();
}
