import { pathTo, showsPictures } from '../chat/tree.ts';
import type { Message, Picture } from '../chat/types.ts';
import type { WholeChat } from '../storage/chat-storage.ts';
import { pictureId } from '../storage/picture-id.ts';
import { fromBase64, toBase64 } from './base64.ts';
import { ImportError } from './import-error.ts';
import { isPictureType } from './picture-types.ts';

/**
 * The shown branch of a chat as Markdown for people to read elsewhere. Comments, which no viewer shows,
 * mark where messages begin, so that the file can be read back.
 */
export async function writeMarkdown(
  { chat, messages, pictures }: WholeChat,
  headings: { readonly user: string; readonly assistant: string },
): Promise<string> {
  const path = pathTo(new Map(messages.map((message) => [message.id, message])), chat.leafId);
  const byId = new Map(pictures.map((picture) => [picture.id, picture]));
  const blocks = [`# ${oneLine(chat.title)}`];
  for (const [i, { role, text, pictures: shown }] of path.entries()) {
    blocks.push(`${marker(role)}\n**${headings[role]}**`);
    for (const id of showsPictures(path, i) ? shown : []) {
      const picture = byId.get(id);
      if (picture) blocks.push(await pictureLine(picture));
    }
    blocks.push(text.replace(MARKER_LINES, (line) => `\\${line}`));
  }
  return `${blocks.join('\n\n')}\n`;
}

/**
 * Reads a file that `writeMarkdown` wrote: one chat with one branch.
 * @throws {ImportError} for other Markdown: nothing tells who said what there.
 */
export async function readMarkdown(text: string): Promise<WholeChat> {
  const [head, ...rest] = text.replaceAll('\r\n', '\n').split(MARKER_SPLIT);
  if (rest.length === 0) throw new ImportError('not-chats', 'No message is marked in the Markdown.');
  const now = Date.now();
  const chatId = crypto.randomUUID();
  const pictures = new Map<string, Picture>();
  const messages: Message[] = [];
  let shown: readonly string[] = [];
  for (let i = 0; i + 1 < rest.length; i += 2) {
    const role = rest[i] === 'assistant' ? 'assistant' : 'user';
    const { body, files } = takePictures(withoutHeading(rest[i + 1]));
    for (const { name, blob } of files) {
      const id = await pictureId(blob);
      pictures.set(id, { id, name, blob });
    }
    if (files.length > 0) shown = await Promise.all(files.map(({ blob }) => pictureId(blob)));
    messages.push({
      id: crypto.randomUUID(),
      chatId,
      parentId: messages.at(-1)?.id ?? null,
      role,
      text: body.replace(ESCAPED_MARKER_LINES, (line) => line.slice(1)),
      pictures: role === 'user' ? shown : [],
      createdAt: now + messages.length,
      ...(role === 'assistant' ? { answer: { status: 'done', model: '' } } : {}),
    });
  }
  return {
    chat: {
      id: chatId,
      title: /^# (.+)$/m.exec(head)?.[1].slice(0, 200) ?? '',
      renamed: true,
      createdAt: now,
      updatedAt: now,
      leafId: messages.at(-1)?.id ?? null,
    },
    messages,
    pictures: [...pictures.values()],
  };
}

const marker = (role: Message['role']): string => `<!-- speedq:${role} -->`;
const MARKER_SPLIT = /^<!-- speedq:(user|assistant) -->$/m;
/** In a message these lines are text, however often they were escaped before. */
const MARKER_LINES = /^\\*<!-- speedq:(?:user|assistant) -->$/gm;
const ESCAPED_MARKER_LINES = /^\\+<!-- speedq:(?:user|assistant) -->$/gm;
const PICTURE_LINE = /^!\[([^\]\n]*)\]\(data:([\w/+.-]+);base64,([\w+/=]*)\)\n\n/;

async function pictureLine({ name, blob }: Picture): Promise<string> {
  return `![${oneLine(name.replaceAll(/[[\]]/g, ' '))}](data:${blob.type};base64,${await toBase64(blob)})`;
}

/** Drops the bold name under the marker and the empty lines that `writeMarkdown` put around the text. */
function withoutHeading(block: string): string {
  return block.replace(/^\n\*\*[^\n]*\*\*\n\n/, '').replace(/\n{1,2}$/, '');
}

function takePictures(block: string): { body: string; files: { name: string; blob: Blob }[] } {
  const files: { name: string; blob: Blob }[] = [];
  let body = block;
  for (let match = PICTURE_LINE.exec(body); match; match = PICTURE_LINE.exec(body)) {
    const [line, name, type, base64] = match;
    body = body.slice(line.length);
    if (!isPictureType(type)) throw new ImportError('bad-field', `${type} is no picture.`);
    try {
      files.push({ name, blob: new Blob([fromBase64(base64)], { type }) });
    } catch {
      throw new ImportError('bad-field', `The picture ${name} is no base64.`);
    }
  }
  return { body, files };
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}
