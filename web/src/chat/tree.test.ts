import { describe, expect, it } from 'vitest';
import { newestLeaf, pathTo, showsPictures, siblingsOf } from './tree.ts';
import type { Message } from './types.ts';

/** Ids name the place: `a1` and `a2` are two answers to question `q`. */
function message(
  id: string,
  parentId: string | null,
  createdAt: number,
  more: Partial<Message> = {},
): Message {
  const role = id.startsWith('q') ? 'user' : 'assistant';
  return { id, chatId: 'c', parentId, role, text: id, pictures: [], createdAt, ...more };
}

const tree = new Map(
  [
    message('q', null, 1),
    message('a1', 'q', 2),
    message('q2', 'a1', 3),
    message('b1', 'q2', 4),
    message('a2', 'q', 5),
    message('q-edited', null, 6),
    message('c1', 'q-edited', 7),
  ].map((entry) => [entry.id, entry]),
);
const ids = (messages: readonly Message[]): string[] => messages.map(({ id }) => id);

describe('a tree of messages', () => {
  it('gives the branch to a leaf, first message first', () => {
    expect(ids(pathTo(tree, 'b1'))).toEqual(['q', 'a1', 'q2', 'b1']);
    expect(ids(pathTo(tree, 'a2'))).toEqual(['q', 'a2']);
    expect(pathTo(tree, null)).toEqual([]);
    expect(pathTo(tree, 'unknown')).toEqual([]);
  });

  it('survives a circle and a missing parent, which only a damaged file could hold', () => {
    const circle = new Map([
      ['q', message('q', 'a', 1)],
      ['a', message('a', 'q', 2)],
    ]);
    expect(ids(pathTo(circle, 'a'))).toEqual(['q', 'a']);
    expect(newestLeaf(circle, 'q')).toBeTypeOf('string');
    expect(ids(pathTo(new Map([['a', message('a', 'gone', 2)]]), 'a'))).toEqual(['a']);
  });

  it('knows the alternatives at a place, oldest first, the roots included', () => {
    expect(ids(siblingsOf(tree, tree.get('a2')!))).toEqual(['a1', 'a2']);
    expect(ids(siblingsOf(tree, tree.get('q')!))).toEqual(['q', 'q-edited']);
    expect(ids(siblingsOf(tree, tree.get('b1')!))).toEqual(['b1']);
  });

  it('follows the newest branch down', () => {
    expect(newestLeaf(tree, 'a1')).toBe('b1');
    expect(newestLeaf(tree, 'q')).toBe('a2');
    expect(newestLeaf(tree, 'c1')).toBe('c1');
  });
});

it('shows the pictures of a question unless the question before had the same', () => {
  const path = [
    message('q1', null, 1, { pictures: ['cat'] }),
    message('a1', 'q1', 2),
    message('q2', 'a1', 3, { pictures: ['cat'] }),
    message('a2', 'q2', 4),
    message('q3', 'a2', 5, { pictures: ['cat', 'dog'] }),
    message('q4', 'q3', 6),
  ];
  expect(path.map((_, i) => showsPictures(path, i))).toEqual([true, false, false, false, true, false]);
});
