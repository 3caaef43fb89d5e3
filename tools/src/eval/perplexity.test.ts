import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { scoreText } from './perplexity.ts';
import { picoTokenizer, scriptedModel } from './testing/scripted-model.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-perplexity-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, text: string | Buffer): Promise<string> {
  await writeFile(join(folder, name), text);
  return join(folder, name);
}

const size = picoTokenizer.vocabSize;
/** Probability of what the scripted model says next, and of anything else. */
const said = (confidence: number) => Math.exp(confidence) / (Math.exp(confidence) + size - 1);
const other = (confidence: number) => (1 - said(confidence)) / (size - 1);

const record = (image: string | undefined, ...turns: string[]) =>
  `${JSON.stringify({
    id: 'x',
    ...(image === undefined ? {} : { image }),
    conversations: turns.map((value, i) => ({ from: i % 2 === 0 ? 'human' : 'gpt', value })),
  })}\n`;

it('scores the answers of conversations, their end included', async () => {
  const png = await sharp({ create: { width: 30, height: 30, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
  await file('red.png', png);
  const data = await file(
    'data.jsonl',
    record('red.png', '<image>\nWhat is this?', 'a cat', 'And now?', 'a dog') +
      record(undefined, 'What is 1 + 1?', '2'),
  );
  const script = (prompt: string) =>
    prompt.includes('And now?') ? 'a dog' : prompt.includes('1 + 1') ? '2' : 'a cat';
  const tokens = ['a cat', 'a dog', '2'].reduce(
    (sum, text) => sum + picoTokenizer.encode(text).length + 1,
    0,
  );
  const result = await scoreText({
    model: scriptedModel(script, 'cpu', 4),
    reference: scriptedModel(script, 'cpu', 8),
    file: data,
    window: 64,
  });
  expect(result.tokens).toBe(tokens);
  expect(result.perplexity).toBeCloseTo(1 / said(4), 6);
  expect(result.reference!.perplexity).toBeCloseTo(1 / said(8), 6);
  const kl = said(8) * Math.log(said(8) / said(4)) + (size - 1) * other(8) * Math.log(other(8) / other(4));
  expect(result.reference!.kl).toBeCloseTo(kl, 6);
  expect(result.reference!.topAgreement).toBe(1);
});

it('cuts a text into windows whose first token is not scored', async () => {
  const text = 'The cat is at the top left. '.repeat(20);
  const ids = picoTokenizer.encode(text);
  const script = () => 'a cat';
  const model = scriptedModel(script, 'cpu', 0);
  const window = 50;
  const result = await scoreText({ model, file: await file('text.txt', text), window });
  expect(result.tokens).toBe(ids.length - Math.ceil(ids.length / window));
  expect(result.perplexity).toBeCloseTo(size, 3);
});

it.each([
  ['nothing', 'empty.txt', '', /no token/],
  ['a record that is none', 'bad.jsonl', '{"conversations": 1}\n', /bad\.jsonl, line 1: /],
  [
    'a picture that is not there',
    'lost.jsonl',
    record('nowhere.png', 'What?', 'x'),
    /nowhere\.png cannot be read/,
  ],
])('refuses %s', async (_, name, text, message) => {
  const asked = scoreText({ model: scriptedModel(() => 'x'), file: await file(name, text), window: 64 });
  await expect(asked).rejects.toMatchObject({ code: 'invalid-data', message });
});
