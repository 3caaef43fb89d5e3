import { describe, expect, it } from 'vitest';
import { searchChats, textsByChat } from './search.ts';
import { SentenceReader } from './sentences.ts';
import { titleFrom } from './title.ts';
import type { Chat, Message } from './types.ts';

describe('the title of a chat', () => {
  it.each([
    ['  Is there\n a fox?  ', 'Is there a fox?'],
    [`${'word '.repeat(12)}end`, `${'word '.repeat(9).trim()}…`],
    ['狐'.repeat(60), `${'狐'.repeat(48)}…`],
    ['🦊'.repeat(48), '🦊'.repeat(48)],
  ])('%s', (question, title) => {
    expect(titleFrom(question)).toBe(title);
  });
});

describe('sentences', () => {
  const read = (...pieces: string[]): string[][] => {
    const reader = new SentenceReader();
    return [...pieces.map((piece) => reader.push(piece)), reader.finish()];
  };

  it('come when they are finished, the rest at the end', () => {
    expect(read('A fo', 'x. It ', 'is red')).toEqual([[], ['A fox.'], [], ['It is red']]);
  });

  it('do not end inside a number, and end with a line', () => {
    expect(read('About 3.', '5 m.\n', 'Two!” she')).toEqual([[], ['About 3.5 m.'], ['Two!”'], ['she']]);
  });

  it('end in Chinese too', () => {
    expect(read('一只狐狸。它是红', '的！')).toEqual([['一只狐狸。'], ['它是红的！'], []]);
  });

  it('of white space alone are none', () => {
    expect(read('\n\n', '  ')).toEqual([[], [], []]);
  });
});

describe('searching chats', () => {
  const chat = (id: string, title: string): Chat => ({
    id,
    title,
    renamed: false,
    createdAt: 0,
    updatedAt: 0,
    leafId: null,
  });
  const message = (chatId: string, text: string): Message => ({
    id: text,
    chatId,
    parentId: null,
    role: 'user',
    text,
    pictures: [],
    createdAt: 0,
  });
  const chats = [chat('1', 'Café'), chat('2', 'Fox'), chat('3', '狐狸')];
  const texts = textsByChat([message('1', 'a CUP'), message('1', 'of tea'), message('2', 'red cup')]);
  const found = (query: string): string[] => searchChats(chats, texts, query).map(({ id }) => id);

  it('looks in titles and messages, without regard to case and accents', () => {
    expect(found('cafe')).toEqual(['1']);
    expect(found('cup')).toEqual(['1', '2']);
    expect(found('狐')).toEqual(['3']);
  });

  it('wants every word, wherever it is, and nothing from an empty search', () => {
    expect(found('cup tea')).toEqual(['1']);
    expect(found('fox tea')).toEqual([]);
    expect(found('  ')).toEqual(['1', '2', '3']);
  });
});
