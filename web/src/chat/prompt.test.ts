import { describe, expect, it } from 'vitest';
import { promptFor } from './prompt.ts';
import type { Message } from './types.ts';

const cat = new Blob(['cat']);
const pictureOf = (id: string): Blob | undefined => (id === 'cat' ? cat : undefined);

function turn(role: Message['role'], text: string, pictures: string[] = []): Message {
  return { id: text, chatId: 'c', parentId: null, role, text, pictures, createdAt: 0 };
}

const path = [
  turn('user', 'one', ['cat']),
  turn('assistant', 'first'),
  turn('user', 'unanswered'),
  turn('assistant', ''),
  turn('user', 'two', ['cat']),
];

describe('the prompt', () => {
  it('of a model without memory is the question with its pictures', () => {
    expect(promptFor(path, { remembersTurns: false, systemPrompt: ' ', pictureOf })).toEqual({
      initialPrompts: [],
      prompt: [
        {
          role: 'user',
          content: [
            { type: 'image', value: cat },
            { type: 'text', value: 'two' },
          ],
        },
      ],
    });
  });

  it('with memory has every answered turn, each picture once, and the instructions first', () => {
    expect(promptFor(path, { remembersTurns: true, systemPrompt: ' Be brief. ', pictureOf })).toEqual({
      initialPrompts: [
        { role: 'system', content: 'Be brief.' },
        {
          role: 'user',
          content: [
            { type: 'image', value: cat },
            { type: 'text', value: 'one' },
          ],
        },
        { role: 'assistant', content: 'first' },
      ],
      prompt: [{ role: 'user', content: [{ type: 'text', value: 'two' }] }],
    });
  });

  it('does without a picture that is gone', () => {
    const lost = [turn('user', 'what?', ['gone'])];
    expect(promptFor(lost, { remembersTurns: true, systemPrompt: '', pictureOf }).prompt).toEqual([
      { role: 'user', content: [{ type: 'text', value: 'what?' }] },
    ]);
  });
});
