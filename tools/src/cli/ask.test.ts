import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { ask } from './ask.ts';

function start() {
  const input = new PassThrough();
  const output = new PassThrough();
  const interrupt = new AbortController();
  const answer = ask('Sure? ', {
    ...{ input, output, signal: interrupt.signal },
    onInterrupt: () => interrupt.abort(),
  });
  return { input, output, interrupt, answer };
}

test('asks and returns the line', async () => {
  const { input, output, answer } = start();
  input.write('yes\n');
  expect(await answer).toBe('yes');
  expect(String(output.read())).toBe('Sure? ');
});

test('the end of the input is no answer', async () => {
  const { input, answer } = start();
  input.end();
  expect(await answer).toBe('');
});

test('an interrupt ends the question', async () => {
  const { interrupt, answer } = start();
  interrupt.abort();
  await expect(answer).rejects.toMatchObject({ name: 'AbortError' });
});
