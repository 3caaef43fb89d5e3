import type { Chat, Message, Picture } from '../chat/types.ts';
import type { ChatDatabase, StoredPicture } from './database.ts';

/** A chat with all that belongs to it: what a deletion takes away, and what an import brings. */
export interface WholeChat {
  readonly chat: Chat;
  readonly messages: readonly Message[];
  readonly pictures: readonly Picture[];
}

/** A change of what is kept. */
export interface ChatChange {
  readonly chat?: Chat;
  readonly messages?: readonly Message[];
  readonly pictures?: readonly Picture[];
}

/** Where chats are kept. Every method may reject with a DOMException (`QuotaExceededError`, for one). */
export interface ChatStorage {
  /** Most recently used first. */
  listChats(): Promise<Chat[]>;
  readChat(id: string): Promise<WholeChat | undefined>;
  allMessages(): Promise<Message[]>;
  /** Adds or replaces the chat and the messages given; pictures are kept once. */
  save(change: ChatChange): Promise<void>;
  /** Removes a chat, its messages, and the pictures that no other chat shows. */
  deleteChat(id: string): Promise<void>;
  deleteEverything(): Promise<void>;
}

export function idbChatStorage(database: ChatDatabase): ChatStorage {
  return {
    async listChats() {
      return newestFirst(await database.getAll('chats'));
    },

    async readChat(id) {
      const transaction = database.transaction(['chats', 'messages', 'pictures']);
      const chat = await transaction.objectStore('chats').get(id);
      if (!chat) return undefined;
      const messages = await transaction.objectStore('messages').index('chatId').getAll(id);
      const pictureIds = new Set(messages.flatMap(({ pictures }) => pictures));
      const stored = await Promise.all(
        [...pictureIds].map((picture) => transaction.objectStore('pictures').get(picture)),
      );
      await transaction.done;
      return { chat, messages, pictures: stored.filter((picture) => picture !== undefined).map(toPicture) };
    },

    allMessages: () => database.getAll('messages'),

    async save({ chat, messages = [], pictures = [] }) {
      // Before the transaction: waiting for anything else would end it.
      const stored = await Promise.all(pictures.map(toStored));
      const transaction = database.transaction(['chats', 'messages', 'pictures'], 'readwrite');
      const writes: Promise<unknown>[] = [];
      if (chat) writes.push(transaction.objectStore('chats').put(chat));
      for (const message of messages) writes.push(transaction.objectStore('messages').put(message));
      for (const picture of stored) writes.push(transaction.objectStore('pictures').put(picture));
      await Promise.all([...writes, transaction.done]);
    },

    async deleteChat(id) {
      const transaction = database.transaction(['chats', 'messages', 'pictures'], 'readwrite');
      const messages = transaction.objectStore('messages');
      await transaction.objectStore('chats').delete(id);
      const doomed = await messages.index('chatId').getAll(id);
      for (const message of doomed) await messages.delete(message.id);
      for (const picture of new Set(doomed.flatMap(({ pictures }) => pictures))) {
        const shown = await messages.index('pictures').count(picture);
        if (shown === 0) await transaction.objectStore('pictures').delete(picture);
      }
      await transaction.done;
    },

    async deleteEverything() {
      const transaction = database.transaction(['chats', 'messages', 'pictures'], 'readwrite');
      await Promise.all([
        transaction.objectStore('chats').clear(),
        transaction.objectStore('messages').clear(),
        transaction.objectStore('pictures').clear(),
        transaction.done,
      ]);
    },
  };
}

/** Keeps nothing past the page: where the browser refuses a database. */
export function memoryChatStorage(): ChatStorage {
  const chats = new Map<string, Chat>();
  const messages = new Map<string, Message>();
  const pictures = new Map<string, Picture>();
  const of = (id: string): Message[] => [...messages.values()].filter(({ chatId }) => chatId === id);
  return {
    listChats: () => Promise.resolve(newestFirst([...chats.values()])),
    readChat(id) {
      const chat = chats.get(id);
      const shown = new Set(of(id).flatMap((message) => message.pictures));
      return Promise.resolve(
        chat && {
          chat,
          messages: of(id),
          pictures: [...pictures.values()].filter((picture) => shown.has(picture.id)),
        },
      );
    },
    allMessages: () => Promise.resolve([...messages.values()]),
    save(change) {
      if (change.chat) chats.set(change.chat.id, change.chat);
      for (const message of change.messages ?? []) messages.set(message.id, message);
      for (const picture of change.pictures ?? []) pictures.set(picture.id, picture);
      return Promise.resolve();
    },
    deleteChat(id) {
      for (const message of of(id)) messages.delete(message.id);
      chats.delete(id);
      const shown = new Set([...messages.values()].flatMap((message) => message.pictures));
      for (const picture of pictures.keys()) if (!shown.has(picture)) pictures.delete(picture);
      return Promise.resolve();
    },
    deleteEverything() {
      for (const map of [chats, messages, pictures]) map.clear();
      return Promise.resolve();
    },
  };
}

function newestFirst(chats: Chat[]): Chat[] {
  return chats.sort((a, b) => b.updatedAt - a.updatedAt || (a.id < b.id ? -1 : 1));
}

async function toStored({ id, name, blob }: Picture): Promise<StoredPicture> {
  return { id, name, type: blob.type, bytes: await blob.arrayBuffer() };
}

function toPicture({ id, name, type, bytes }: StoredPicture): Picture {
  return { id, name, blob: new Blob([bytes], { type }) };
}
