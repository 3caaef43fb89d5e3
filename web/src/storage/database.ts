import { openDB } from 'idb';
import type { DBSchema, IDBPDatabase } from 'idb';
import type { Chat, Message } from '../chat/types.ts';

export interface ChatSchema extends DBSchema {
  chats: { key: string; value: Chat };
  messages: {
    key: string;
    value: Message;
    indexes: { chatId: string; pictures: string };
  };
  pictures: { key: string; value: StoredPicture };
}

/** Bytes, not a Blob: some browsers lose Blobs kept in a private window. */
export interface StoredPicture {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly bytes: ArrayBuffer;
}

export type ChatDatabase = IDBPDatabase<ChatSchema>;

export function openChatDatabase(name = 'speedq'): Promise<ChatDatabase> {
  return openDB<ChatSchema>(name, 1, {
    upgrade(database) {
      database.createObjectStore('chats', { keyPath: 'id' });
      const messages = database.createObjectStore('messages', { keyPath: 'id' });
      messages.createIndex('chatId', 'chatId');
      messages.createIndex('pictures', 'pictures', { multiEntry: true });
      database.createObjectStore('pictures', { keyPath: 'id' });
    },
    blocking(_current, _blocked, event) {
      // Another tab wants a newer layout: it must not wait for this one.
      (event.target as IDBDatabase).close();
    },
  });
}
