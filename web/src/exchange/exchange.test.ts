import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Message, Picture } from '../chat/types.ts';
import type { WholeChat } from '../storage/chat-storage.ts';
import { pictureId } from '../storage/picture-id.ts';
import { readChatFile, writeChatFile } from './chat-file.ts';
import { readMarkdown, writeMarkdown } from './markdown-file.ts';

const headings = { user: 'You', assistant: 'Answer' };

async function picture(content: string, name = `${content} [1].png`): Promise<Picture> {
  const blob = new Blob([content], { type: 'image/png' });
  return { id: await pictureId(blob), name, blob };
}

/** A chat of one branch: questions and answers in turn, the first question about `pictures`. */
function chatOf(texts: readonly string[], pictures: readonly Picture[] = [], title = 'A title'): WholeChat {
  const messages = texts.map((text, i): Message => {
    const isQuestion = i % 2 === 0;
    return {
      id: `m${i}`,
      chatId: 'c',
      parentId: i === 0 ? null : `m${i - 1}`,
      role: isQuestion ? 'user' : 'assistant',
      text,
      pictures: isQuestion ? pictures.map(({ id }) => id) : [],
      createdAt: i + 1,
      ...(isQuestion ? {} : { answer: { status: 'done', model: 'pico-2bit', tokensPerSecond: 3 } }),
    };
  });
  const leafId = messages.at(-1)?.id ?? null;
  return {
    chat: { id: 'c', title, renamed: true, createdAt: 1, updatedAt: 2, leafId },
    messages,
    pictures,
  };
}

/** What must survive: ids are made anew. */
async function essence({ chat, messages, pictures }: WholeChat): Promise<unknown> {
  const place = new Map(messages.map(({ id }, i) => [id, i]));
  return {
    title: chat.title,
    leaf: chat.leafId === null ? null : place.get(chat.leafId),
    messages: messages.map(({ parentId, role, text, pictures }) => {
      return { parent: parentId === null ? null : place.get(parentId), role, text, pictures };
    }),
    pictures: await Promise.all(
      pictures.map(async ({ id, blob }) => ({ id, type: blob.type, content: await blob.text() })),
    ),
  };
}

describe('chats as JSON', () => {
  it('come back whole, every branch and picture, under new ids', async () => {
    const whole = chatOf(['What?', 'A fox.', 'And <b>now</b>?', ''], [await picture('cat')]);
    const branch: Message = { ...whole.messages[1], id: 'other', text: 'A dog.', createdAt: 9 };
    const branched = { ...whole, messages: [...whole.messages, branch] };
    const [back] = await readChatFile(await writeChatFile([branched]));
    expect(await essence(back)).toEqual(await essence(branched));
    expect(back.messages[1].answer).toMatchObject({ status: 'done', tokensPerSecond: 3 });
    expect(back.chat.id).not.toBe('c');
    expect(back.messages.every(({ chatId }) => chatId === back.chat.id)).toBe(true);
    expect(back.pictures[0].name).toBe('cat [1].png');
  });

  const valid = async () => JSON.parse(await writeChatFile([chatOf(['q', 'a'], [await picture('cat')])]));
  // oxlint-disable-next-line typescript/no-explicit-any
  const damages: [string, (file: any) => unknown, RegExp][] = [
    ['another format', (file) => (file.format = 'other'), /format is not 'speedq-chats'/],
    ['a later version', (file) => (file.version = 2), /version is not 1/],
    ['chats that are no list', (file) => (file.chats = {}), /chats is no list/],
    [
      'a message without text',
      (file) => delete file.chats[0].messages[1].text,
      /messages\[1\]\.text is no text/,
    ],
    [
      'a title that is too long',
      (file) => (file.chats[0].title = 'x'.repeat(201)),
      /more than 200 characters/,
    ],
    [
      'a script as a picture',
      (file) => (file.pictures[0].type = 'text/html'),
      /type is no picture: text\/html/,
    ],
    ['a picture in SVG', (file) => (file.pictures[0].type = 'image/svg+xml'), /no picture: image\/svg\+xml/],
    ['broken base64', (file) => (file.pictures[0].base64 = '?'), /pictures\[0\]\.base64 is no base64/],
    ['a null message', (file) => (file.chats[0].messages[0] = null), /messages\[0\] is no object/],
  ];
  it.each(damages)('%s is refused by name', async (_name, damage, message) => {
    const file = await valid();
    damage(file);
    await expect(readChatFile(JSON.stringify(file))).rejects.toThrow(message);
  });

  it('other text is refused', async () => {
    await expect(readChatFile('# no')).rejects.toMatchObject({ code: 'not-json' });
    await expect(readChatFile('[]')).rejects.toMatchObject({ code: 'bad-field' });
  });

  it('parents and pictures that do not exist are left out', async () => {
    const file = await valid();
    file.chats[0].messages[0].parentId = 'nobody';
    file.chats[0].messages[0].pictures = ['nothing'];
    file.chats[0].messages[1].answer = { status: 'answering', tokensPerSecond: 'fast' };
    const [{ messages }] = await readChatFile(JSON.stringify(file));
    expect(messages[0]).toMatchObject({ parentId: null, pictures: [] });
    expect(messages[1].answer).toMatchObject({ status: 'stopped', tokensPerSecond: undefined });
  });
});

describe('a chat as Markdown', () => {
  it('reads well and carries its pictures', async () => {
    const text = await writeMarkdown(chatOf(['What?', '**A** fox.'], [await picture('cat')]), headings);
    expect(text).toBe(
      [
        '# A title',
        '<!-- speedq:user -->\n**You**',
        '![cat 1 .png](data:image/png;base64,Y2F0)',
        'What?',
        '<!-- speedq:assistant -->\n**Answer**',
        '**A** fox.\n',
      ].join('\n\n'),
    );
  });

  it('comes back the same, whatever the texts say', async () => {
    const line = fc.oneof(
      fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\r', '')),
      fc.constantFrom(
        '<!-- speedq:user -->',
        '\\<!-- speedq:assistant -->',
        '# heading',
        '**You**',
        '![x](data:image/png;base64,AA==)',
      ),
    );
    // Empty lines around a text are not kept; a question is never empty.
    const message = fc
      .array(line, { minLength: 1, maxLength: 4 })
      .map((lines) => lines.join('\n').trim())
      .filter((text) => text !== '' && !/^!\[[^\]\n]*\]\(data:.*\)(\n\n|$)/.test(text));
    const pictures = [await picture('cat'), await picture('dog')];
    await fc.assert(
      fc.asyncProperty(
        fc.array(message, { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        async (texts, seen) => {
          const whole = chatOf(texts, seen ? pictures : []);
          const back = await readMarkdown(await writeMarkdown(whole, headings));
          expect(await essence(back)).toEqual(await essence(whole));
        },
      ),
      { numRuns: 200 },
    );
  });

  it('of somebody else is refused', async () => {
    await expect(readMarkdown('# Notes\n\nHello')).rejects.toMatchObject({ code: 'not-chats' });
  });
});
