/** A saved chat as the app writes it: questions and answers in turn. */
export function savedChat(title: string, texts: readonly string[]): Record<string, unknown> {
  const messages = texts.map((text, i) => ({
    id: `m${i}`,
    parentId: i === 0 ? null : `m${i - 1}`,
    role: i % 2 === 0 ? 'user' : 'assistant',
    text,
    pictures: [],
    createdAt: 1000 + i,
    answer: { status: 'done', model: 'pico-2bit', tokensPerSecond: 12.34, firstTokenSeconds: 0.5 },
  }));
  const leafId = `m${texts.length - 1}`;
  return { title, renamed: true, createdAt: 1, updatedAt: 1, leafId, messages };
}

/** As a file to be chosen. */
export function chatFile(chats: readonly Record<string, unknown>[]): {
  name: string;
  mimeType: string;
  buffer: Buffer;
} {
  const content = JSON.stringify({ format: 'speedq-chats', version: 1, chats, pictures: [] });
  return { name: 'chats.json', mimeType: 'application/json', buffer: Buffer.from(content) };
}
