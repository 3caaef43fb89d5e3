import type { Message } from './types.ts';

/** Every message of one chat, on whatever branch, by id. */
export type Messages = ReadonlyMap<string, Message>;

/** The branch that ends at `leafId`, first message first. Ends early where a parent is missing. */
export function pathTo(messages: Messages, leafId: string | null): Message[] {
  const path: Message[] = [];
  const seen = new Set<string>();
  for (let id = leafId; id !== null && !seen.has(id);) {
    const message = messages.get(id);
    if (!message) break;
    seen.add(id);
    path.push(message);
    id = message.parentId;
  }
  return path.reverse();
}

/** The alternatives at one place, the message itself among them, oldest first. */
export function siblingsOf(messages: Messages, { parentId }: Message): Message[] {
  return childrenOf(messages, parentId);
}

/** The end of the newest branch that goes through `id`. */
export function newestLeaf(messages: Messages, id: string): string {
  let leaf = id;
  for (const seen = new Set<string>(); !seen.has(leaf);) {
    seen.add(leaf);
    const newest = childrenOf(messages, leaf).at(-1);
    if (newest) leaf = newest.id;
  }
  return leaf;
}

function childrenOf(messages: Messages, parentId: string | null): Message[] {
  return [...messages.values()]
    .filter((message) => message.parentId === parentId)
    .sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
}

/** Whether a question shows its pictures: not again when they are those of the question before. */
export function showsPictures(path: readonly Message[], index: number): boolean {
  const { pictures } = path[index];
  if (pictures.length === 0) return false;
  const before = path.slice(0, index).findLast(({ role }) => role === 'user');
  return before === undefined || before.pictures.join() !== pictures.join();
}
