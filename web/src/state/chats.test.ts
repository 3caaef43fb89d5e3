import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Chat, Message } from '../chat/types.ts';
import { memoryChatStorage } from '../storage/chat-storage.ts';
import { ChatsStore } from './chats.ts';

const chat = (title: string): Chat => ({
  ...{ id: 'one', title, renamed: false, createdAt: 1, updatedAt: 1, leafId: 'first' },
});
const message = (id: string): Message => ({
  ...{ id, chatId: 'one', parentId: null, role: 'user', text: id, pictures: [], createdAt: 1 },
});

/** A storage whose disk can be full. */
function limitedStorage() {
  const storage = memoryChatStorage();
  const disk = { isFull: false };
  return {
    ...{ ...storage, disk },
    save: (change: Parameters<typeof storage.save>[0]) =>
      disk.isFull ? Promise.reject(new DOMException('full', 'QuotaExceededError')) : storage.save(change),
  };
}

describe('a chat on a full disk', () => {
  let storage: ReturnType<typeof limitedStorage>;
  let chats: ChatsStore;

  beforeEach(() => {
    vi.useFakeTimers();
    storage = limitedStorage();
    chats = new ChatsStore(storage);
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  const kept = async () => (await storage.readChat('one'))?.messages.map(({ id }) => id);

  it('is kept as soon as there is room, in the order it was written', async () => {
    storage.disk.isFull = true;
    await expect(chats.keep({ chat: chat('old'), messages: [message('first')] })).rejects.toThrow('full');
    await expect(chats.keep({ chat: chat('new'), messages: [message('second')] })).rejects.toThrow('full');
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await kept()).toBeUndefined();
    storage.disk.isFull = false;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await kept()).toEqual(['first', 'second']);
    expect(chats.state.chats.map(({ title }) => title)).toEqual(['new']);
  });

  it('is kept with the next change, and only once', async () => {
    storage.disk.isFull = true;
    await expect(chats.keep({ chat: chat('old'), messages: [message('first')] })).rejects.toThrow('full');
    storage.disk.isFull = false;
    await chats.keep({ messages: [message('second')] });
    expect(await kept()).toEqual(['first', 'second']);
    const save = vi.spyOn(storage, 'save');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(save).not.toHaveBeenCalled();
  });

  it('is shown whole when it is opened again, and the page is not left without a word', async () => {
    await chats.keep({ chat: chat('kept'), messages: [message('first')] });
    expect(chats.hasUnsaved).toBe(false);
    storage.disk.isFull = true;
    await expect(chats.keep({ messages: [message('second')] })).rejects.toThrow('full');
    expect(chats.hasUnsaved).toBe(true);
    chats.startNew();
    await chats.openChat('one');
    expect([...chats.state.open.messages.keys()]).toEqual(['first', 'second']);
    storage.disk.isFull = false;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(chats.hasUnsaved).toBe(false);
  });

  it('does not come back once it is deleted', async () => {
    storage.disk.isFull = true;
    await expect(chats.keep({ chat: chat('old'), messages: [message('first')] })).rejects.toThrow('full');
    await chats.remove('one');
    storage.disk.isFull = false;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await kept()).toBeUndefined();
  });
});
