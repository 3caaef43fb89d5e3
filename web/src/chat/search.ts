import type { Chat, Message } from './types.ts';

/** The chats whose title or messages hold every word of `query`, in the order given. */
export function searchChats(
  chats: readonly Chat[],
  textsOf: ReadonlyMap<string, readonly string[]>,
  query: string,
): Chat[] {
  const words = fold(query).split(/\s+/).filter(Boolean);
  if (words.length === 0) return [...chats];
  return chats.filter(({ id, title }) => {
    const texts = [title, ...(textsOf.get(id) ?? [])].map(fold);
    return words.every((word) => texts.some((text) => text.includes(word)));
  });
}

export function textsByChat(messages: readonly Message[]): Map<string, string[]> {
  const texts = new Map<string, string[]>();
  for (const { chatId, text } of messages) {
    const known = texts.get(chatId);
    if (known) known.push(text);
    else texts.set(chatId, [text]);
  }
  return texts;
}

/** "Café" is found by "cafe". */
function fold(text: string): string {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
}
