import { newestLeaf, siblingsOf } from '../chat/tree.ts';
import type { Messages } from '../chat/tree.ts';
import { searchChats, textsByChat } from '../chat/search.ts';
import type { Chat, Message, Picture } from '../chat/types.ts';
import type { ChatChange, ChatStorage, WholeChat } from '../storage/chat-storage.ts';
import { Store } from './store.ts';

export interface OpenChat {
  readonly chat: Chat;
  readonly messages: Messages;
  readonly pictures: ReadonlyMap<string, Picture>;
}

export interface ChatsState {
  /** Most recently used first. */
  readonly chats: readonly Chat[];
  /** A chat without messages is not kept. */
  readonly open: OpenChat;
  /** What the list is narrowed to, and the result. */
  readonly query: string;
  readonly found: readonly Chat[];
}

/** What found no room is tried again so often, and with every later change. */
const RETRY_MILLISECONDS = 5000;

/** The list of chats and the one that is shown. Every change is kept at once, or as soon as there is room for it. */
export class ChatsStore extends Store<ChatsState> {
  private readonly storage: ChatStorage;
  /** Other tabs keep their lists right. */
  private readonly channel = new BroadcastChannel('speedq-chats');
  /** Changes that are not kept yet, oldest first. */
  private readonly unsaved: ChatChange[] = [];
  private saving: Promise<unknown> = Promise.resolve();
  private retry: ReturnType<typeof setTimeout> | undefined;

  constructor(storage: ChatStorage) {
    super({ chats: [], open: emptyChat(), query: '', found: [] });
    this.storage = storage;
    this.channel.onmessage = () => void this.refresh();
  }

  async start(): Promise<void> {
    await this.refresh();
  }

  startNew(): void {
    this.update({ open: emptyChat() });
  }

  async openChat(id: string): Promise<void> {
    const whole = await this.storage.readChat(id);
    if (whole) this.update({ open: this.unsaved.reduce(withChange, toOpen(whole)) });
  }

  /** Whether something would be lost with the page. */
  get hasUnsaved(): boolean {
    return this.unsaved.length > 0;
  }

  async search(query: string): Promise<void> {
    this.update({ query });
    await this.refresh();
  }

  async rename(id: string, title: string): Promise<void> {
    const chat = this.state.chats.find((known) => known.id === id);
    if (!chat || title.trim() === '') return;
    await this.keep({ chat: { ...chat, title: title.trim().slice(0, 200), renamed: true } });
  }

  /** Resolves to what was deleted, for those who want it back (`restore`). */
  async remove(id: string): Promise<WholeChat | undefined> {
    const whole = await this.storage.readChat(id);
    this.forget(({ chat, messages }) => chat?.id === id || messages?.some(({ chatId }) => chatId === id));
    await this.saving;
    await this.storage.deleteChat(id);
    if (this.state.open.chat.id === id) this.startNew();
    await this.changed();
    return whole;
  }

  async removeAll(): Promise<void> {
    this.forget(() => true);
    await this.saving;
    await this.storage.deleteEverything();
    this.startNew();
    await this.changed();
  }

  /** Adds whole chats: deleted ones that are wanted back, imported ones. */
  async restore(chats: readonly WholeChat[]): Promise<void> {
    for (const whole of chats) await this.storage.save(whole);
    const [first] = chats;
    if (first) this.update({ open: toOpen(first) });
    await this.changed();
  }

  async readAll(): Promise<WholeChat[]> {
    const all = await Promise.all(this.state.chats.map(({ id }) => this.storage.readChat(id)));
    return all.filter((whole) => whole !== undefined);
  }

  read(id: string): Promise<WholeChat | undefined> {
    return this.storage.readChat(id);
  }

  /** Shows the alternative `step` places after (or before) a message. */
  async showSibling(message: Message, step: number): Promise<void> {
    const { chat, messages } = this.state.open;
    const siblings = siblingsOf(messages, message);
    const other = siblings[siblings.findIndex(({ id }) => id === message.id) + step];
    if (other) await this.keep({ chat: { ...chat, leafId: newestLeaf(messages, other.id) } });
  }

  /**
   * Keeps a change of a chat, shown or not. Rejects as the storage does where there is no room; the change is kept
   * later, when there is.
   */
  async keep(change: ChatChange): Promise<void> {
    // Shown before it is kept: a full disk must not keep an answer from being read.
    this.update({ open: withChange(this.state.open, change) });
    this.unsaved.push(change);
    await this.saveAll();
    if (change.chat) await this.changed();
  }

  /** One after the other: a later change of a chat is never overwritten by an earlier one. */
  private saveAll(): Promise<void> {
    const saved = this.saving.then(async () => {
      clearTimeout(this.retry);
      for (let oldest = this.unsaved.at(0); oldest !== undefined; oldest = this.unsaved.at(0)) {
        await this.storage.save(oldest);
        this.forget((change) => change === oldest);
      }
    });
    this.saving = saved.catch(() => {
      this.retry = setTimeout(() => void this.saveAgain(), RETRY_MILLISECONDS);
    });
    return saved;
  }

  /** What is kept by now, or deleted, is not kept later. */
  private forget(isSettled: (change: ChatChange) => boolean | undefined): void {
    this.unsaved.splice(0, Infinity, ...this.unsaved.filter((change) => !isSettled(change)));
  }

  private async saveAgain(): Promise<void> {
    try {
      await this.saveAll();
      await this.changed();
    } catch {
      // Still no room: `saveAll` tries again.
    }
  }

  private async changed(): Promise<void> {
    this.channel.postMessage('changed');
    await this.refresh();
  }

  private async refresh(): Promise<void> {
    const chats = await this.storage.listChats();
    const { query } = this.state;
    const texts = query.trim() === '' ? new Map() : textsByChat(await this.storage.allMessages());
    // A later search may have been quicker.
    if (query === this.state.query) this.update({ chats, found: searchChats(chats, texts, query) });
  }
}

/** What of a change concerns this chat. */
function withChange(open: OpenChat, { chat, messages = [], pictures = [] }: ChatChange): OpenChat {
  const { id } = open.chat;
  return {
    chat: chat?.id === id ? chat : open.chat,
    messages: withAll(
      open.messages,
      messages.filter(({ chatId }) => chatId === id),
    ),
    pictures: withAll(open.pictures, pictures),
  };
}

function withAll<T extends { readonly id: string }>(
  known: ReadonlyMap<string, T>,
  more: readonly T[],
): ReadonlyMap<string, T> {
  return more.length === 0 ? known : new Map([...known, ...more.map((entry) => [entry.id, entry] as const)]);
}

function emptyChat(): OpenChat {
  const now = Date.now();
  return {
    chat: {
      id: crypto.randomUUID(),
      title: '',
      renamed: false,
      createdAt: now,
      updatedAt: now,
      leafId: null,
    },
    messages: new Map(),
    pictures: new Map(),
  };
}

/** An answer that was coming when the page was closed will not come any more. */
function toOpen({ chat, messages, pictures }: WholeChat): OpenChat {
  return {
    chat,
    messages: new Map(messages.map((message) => [message.id, message])),
    pictures: new Map(pictures.map((picture) => [picture.id, picture])),
  };
}
