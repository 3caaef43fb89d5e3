import 'fake-indexeddb/auto';
import { describe, expect, it } from 'vitest';
import type { Chat, Message, Picture } from '../chat/types.ts';
import { idbChatStorage, memoryChatStorage } from './chat-storage.ts';
import type { ChatStorage } from './chat-storage.ts';
import { openChatDatabase } from './database.ts';

const chat = (id: string, updatedAt: number): Chat => ({
  id,
  title: id,
  renamed: false,
  createdAt: 1,
  updatedAt,
  leafId: null,
});
const message = (id: string, chatId: string, pictures: string[] = []): Message => ({
  id,
  chatId,
  parentId: null,
  role: 'user',
  text: id,
  pictures,
  createdAt: 1,
});
const picture = (id: string): Picture => ({
  id,
  name: `${id}.png`,
  blob: new Blob([id], { type: 'image/png' }),
});

let databases = 0;
const kinds: Record<string, () => Promise<ChatStorage>> = {
  'in a database': async () => idbChatStorage(await openChatDatabase(`test-${databases++}`)),
  'in memory': () => Promise.resolve(memoryChatStorage()),
};

describe.each(Object.entries(kinds))('chats kept %s', (_name, open) => {
  async function filled(): Promise<ChatStorage> {
    const storage = await open();
    await storage.save({
      chat: chat('old', 1),
      messages: [message('m1', 'old', ['cat', 'dog'])],
      pictures: [picture('cat'), picture('dog')],
    });
    await storage.save({ chat: chat('new', 2), messages: [message('m2', 'new', ['dog'])] });
    return storage;
  }

  it('are listed newest first and read whole', async () => {
    const storage = await filled();
    expect((await storage.listChats()).map(({ id }) => id)).toEqual(['new', 'old']);
    const old = await storage.readChat('old');
    expect(old?.chat).toEqual(chat('old', 1));
    expect(old?.messages).toEqual([message('m1', 'old', ['cat', 'dog'])]);
    expect(old?.pictures.map(({ id }) => id).sort()).toEqual(['cat', 'dog']);
    expect(old?.pictures[0].blob.type).toBe('image/png');
    expect(await old?.pictures.find(({ id }) => id === 'cat')?.blob.text()).toBe('cat');
    expect(await storage.readChat('unknown')).toBeUndefined();
  });

  it('replace what has the same id', async () => {
    const storage = await filled();
    await storage.save({ chat: { ...chat('old', 3), title: 'renamed' } });
    expect((await storage.listChats()).map(({ title }) => title)).toEqual(['renamed', 'new']);
    expect(await storage.allMessages()).toHaveLength(2);
  });

  it('take their pictures with them unless another chat shows them', async () => {
    const storage = await filled();
    await storage.deleteChat('old');
    expect((await storage.readChat('new'))?.pictures.map(({ id }) => id)).toEqual(['dog']);
    await storage.save({ messages: [message('m3', 'new', ['cat'])] });
    expect((await storage.readChat('new'))?.pictures.map(({ id }) => id)).toEqual(['dog']);
    await storage.deleteChat('new');
    expect(await storage.allMessages()).toEqual([]);
    await storage.save({ chat: chat('again', 1), messages: [message('m4', 'again', ['dog'])] });
    expect((await storage.readChat('again'))?.pictures).toEqual([]);
  });

  it('can all be deleted', async () => {
    const storage = await filled();
    await storage.deleteEverything();
    expect(await storage.listChats()).toEqual([]);
    expect(await storage.allMessages()).toEqual([]);
  });
});
