import type { AnswerFacts, Message, Picture } from '../chat/types.ts';
import { pictureId } from '../storage/picture-id.ts';
import type { WholeChat } from '../storage/chat-storage.ts';
import { fromBase64, toBase64 } from './base64.ts';
import { ImportError } from './import-error.ts';
import { isPictureType } from './picture-types.ts';

/** Chats as a JSON file: complete, with every branch and every picture. */
interface ChatFile {
  readonly format: typeof FORMAT;
  readonly version: 1;
  readonly chats: readonly {
    readonly title: string;
    readonly renamed: boolean;
    readonly createdAt: number;
    readonly updatedAt: number;
    readonly leafId: string | null;
    readonly messages: readonly Omit<Message, 'chatId'>[];
  }[];
  readonly pictures: readonly { id: string; name: string; type: string; base64: string }[];
}

const FORMAT = 'speedq-chats';

/** Generous for people, small enough that a made-up file cannot fill the disk. */
const MOST = { chats: 10_000, messages: 100_000, pictures: 10_000, text: 1_000_000, title: 200 };

export async function writeChatFile(chats: readonly WholeChat[]): Promise<string> {
  const pictures = new Map(chats.flatMap((whole) => whole.pictures.map((picture) => [picture.id, picture])));
  const file: ChatFile = {
    format: FORMAT,
    version: 1,
    chats: chats.map(({ chat, messages }) => {
      const { title, renamed, createdAt, updatedAt, leafId } = chat;
      // JSON leaves out what is undefined.
      const kept = messages.map((message) => ({ ...message, chatId: undefined }));
      return { title, renamed, createdAt, updatedAt, leafId, messages: kept };
    }),
    pictures: await Promise.all(
      [...pictures.values()].map(async ({ id, name, blob }) => {
        return { id, name, type: blob.type, base64: await toBase64(blob) };
      }),
    ),
  };
  return JSON.stringify(file, null, 1);
}

/**
 * Reads what `writeChatFile` wrote, or what claims to be that. Chats and messages get new ids, so that
 * importing a file twice gives two chats and never overwrites one.
 * @throws {ImportError} naming the first thing that is wrong.
 */
export async function readChatFile(text: string): Promise<WholeChat[]> {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    throw new ImportError('not-json', 'The file is not JSON.');
  }
  const root = asObject(file, 'file');
  if (root.format !== FORMAT) throw new ImportError('not-chats', `format is not '${FORMAT}'.`);
  if (root.version !== 1) throw new ImportError('not-chats', `version is not 1.`);
  const pictures = new Map<string, Picture>();
  for (const [i, entry] of asList(root.pictures, 'pictures', MOST.pictures).entries()) {
    const at = `pictures[${i}]`;
    const { id, name, type, base64 } = asObject(entry, at);
    const mime = asText(type, `${at}.type`, 100);
    if (!isPictureType(mime)) throw new ImportError('bad-field', `${at}.type is no picture: ${mime}`);
    const blob = new Blob([decode(base64, `${at}.base64`)], { type: mime });
    // The id is made anew: two different pictures must not share one.
    const picture = { id: await pictureId(blob), name: asText(name, `${at}.name`, MOST.title), blob };
    pictures.set(asText(id, `${at}.id`, MOST.title), picture);
  }
  return asList(root.chats, 'chats', MOST.chats).map((entry, i) => readChat(entry, `chats[${i}]`, pictures));
}

function readChat(entry: unknown, at: string, pictures: ReadonlyMap<string, Picture>): WholeChat {
  const chat = asObject(entry, at);
  const id = crypto.randomUUID();
  const list = asList(chat.messages, `${at}.messages`, MOST.messages);
  const messageAt = (i: number): string => `${at}.messages[${i}]`;
  const objects = list.map((message, i) => asObject(message, messageAt(i)));
  const newIds = new Map(
    objects.map((message, i) => [asText(message.id, `${messageAt(i)}.id`, MOST.title), crypto.randomUUID()]),
  );
  const newId = (value: unknown): string | null => newIds.get(String(value)) ?? null;
  const used = new Map<string, Picture>();
  const messages = objects.map((message, i): Message => {
    const shown = asList(message.pictures, `${messageAt(i)}.pictures`, MOST.pictures)
      .map((picture) => pictures.get(String(picture)))
      .filter((picture) => picture !== undefined);
    for (const picture of shown) used.set(picture.id, picture);
    const role = message.role === 'assistant' ? 'assistant' : 'user';
    return {
      id: newId(message.id)!,
      chatId: id,
      parentId: newId(message.parentId),
      role,
      text: asText(message.text, `${messageAt(i)}.text`, MOST.text),
      pictures: shown.map((picture) => picture.id),
      createdAt: asTime(message.createdAt),
      ...(role === 'assistant' ? { answer: readFacts(message.answer) } : {}),
    };
  });
  return {
    chat: {
      id,
      title: asText(chat.title, `${at}.title`, MOST.title),
      renamed: chat.renamed === true,
      createdAt: asTime(chat.createdAt),
      updatedAt: asTime(chat.updatedAt),
      leafId: newId(chat.leafId),
    },
    messages,
    pictures: [...used.values()],
  };
}

function readFacts(value: unknown): AnswerFacts {
  const facts = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  const number = (field: unknown): number | undefined =>
    typeof field === 'number' && Number.isFinite(field) && field >= 0 ? field : undefined;
  const status = (['done', 'cut', 'stopped'] as const).find((known) => known === facts.status);
  return {
    status: status ?? 'stopped',
    model: typeof facts.model === 'string' ? facts.model.slice(0, MOST.title) : '',
    tokensPerSecond: number(facts.tokensPerSecond),
    firstTokenSeconds: number(facts.firstTokenSeconds),
  };
}

function asObject(value: unknown, at: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ImportError('bad-field', `${at} is no object.`);
  }
  return value as Record<string, unknown>;
}

function asList(value: unknown, at: string, most: number): unknown[] {
  if (!Array.isArray(value)) throw new ImportError('bad-field', `${at} is no list.`);
  if (value.length > most) throw new ImportError('bad-field', `${at} has more than ${most} entries.`);
  return value;
}

function asText(value: unknown, at: string, longest: number): string {
  if (typeof value !== 'string') throw new ImportError('bad-field', `${at} is no text.`);
  if (value.length > longest) {
    throw new ImportError('bad-field', `${at} has more than ${longest} characters.`);
  }
  return value;
}

function asTime(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : Date.now();
}

function decode(value: unknown, at: string): Uint8Array<ArrayBuffer> {
  try {
    return fromBase64(asText(value, at, Infinity));
  } catch (error) {
    if (error instanceof ImportError) throw error;
    throw new ImportError('bad-field', `${at} is no base64.`);
  }
}
