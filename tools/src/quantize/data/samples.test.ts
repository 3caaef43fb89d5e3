import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfig } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import type { Tokenizer } from '@speedq/processor';
import { IGNORE_INDEX, IMAGENET_MEAN, IMAGENET_STD } from '@speedq/processor';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { loadPico } from '../../train/pico.ts';
import { prepareSamples } from './samples.ts';
import { findSources } from './sources.ts';

const PICO = new URL('../../../models/pico/', import.meta.url).pathname;

let folder: string;
let tokenizer: Tokenizer;
let config: InternVLConfig;

beforeAll(async () => {
  const pico = await loadPico(PICO);
  tokenizer = pico.tokenizer;
  config = parseConfig(pico.configJson);
  folder = await mkdtemp(join(tmpdir(), 'speedq-samples-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  const picture = sharp({ create: { width: 56, height: 56, channels: 3, background: 'red' } });
  await picture.png().toFile(join(folder, 'red.png'));
  await writeFile(join(folder, 'torn.png'), (await picture.png().toBuffer()).subarray(0, 60));
});

const ask = (question: string, answer = 'red') => [
  { from: 'human', value: question },
  { from: 'gpt', value: answer },
];

async function prepare(records: readonly (object | string)[], wanted = 1000, maxLength = 100) {
  const lines = records.map((record) => (typeof record === 'string' ? record : JSON.stringify(record)));
  await writeFile(join(folder, 'data.jsonl'), `${lines.join('\n')}\n`);
  const { sources } = await findSources(join(folder, 'data.jsonl'));
  const tiling = { tileSize: 168, minTiles: 1, maxTiles: 1, useThumbnail: true };
  const [mean, std] = [IMAGENET_MEAN, IMAGENET_STD] as unknown as [number, number, number][];
  return prepareSamples({
    sources,
    metadata: {
      tiling,
      normalization: { mean, std },
      tokensPerTile: config.tokensPerTile,
      stopTokenIds: [],
      prompt: { systemPrompt: null, imageStart: '<img>', imageContext: '<IMG_CONTEXT>', imageEnd: '</img>' },
    },
    template: { tokenizer, tokensPerTile: config.tokensPerTile, systemPrompt: null },
    ...{ maxLength, wanted, wantedPictures: 0, seed: 1 },
  });
}

const good = { image: 'red.png', conversations: ask('What colour is it?') };

test('a picture in front, labels on the answer alone', async () => {
  const { samples, pictures } = await prepare([good]);
  const [{ ids, labels, tiles }] = samples;
  expect(tiles).toBe(1);
  expect(pictures.pictures).toHaveLength(1);
  expect(ids.filter((id) => id === config.imageTokenId)).toHaveLength(36);
  expect(tokenizer.decode(labels.filter((label) => label !== IGNORE_INDEX))).toBe('red<|im_end|>');
  expect(tokenizer.decode(ids.slice(ids.indexOf(tokenizer.tokenToId('</img>')!) + 1))).toBe(
    '\nWhat colour is it?<|im_end|>\n<|im_start|>assistant\nred<|im_end|>\n',
  );
});

test('every kind of bad record is named, counted and left out', async () => {
  const bad = [
    '{"image": "red.png"',
    { image: 'gone.png', conversations: ask('?') },
    { image: 'torn.png', conversations: ask('?') },
    { image: ['red.png', 'red.png'], conversations: ask('<image> only once') },
    { conversations: ask('x'.repeat(3000)) },
    { conversations: [{ from: 'human', value: 'alone' }] },
    { video: 'film.mp4', conversations: ask('<video>\nWhat happens?') },
  ];
  const { samples, problems } = await prepare([...bad, ...Array.from({ length: 200 }, () => good)]);
  expect(samples).toHaveLength(200);
  expect(problems.counts).toEqual({
    'malformed record': 1,
    'missing picture': 1,
    'unreadable picture': 1,
    'placeholder mismatch': 1,
    overlong: 1,
    'no answer': 1,
    'unsupported video': 1,
  });
  expect(problems.describe()).toMatch(/7 conversations left out.*data\.jsonl:\d+: /);
});

test('more than a twentieth of bad records is an error that names one', async () => {
  const gone = { image: 'gone.png', conversations: ask('?') };
  await expect(prepare([gone, good, good])).rejects.toMatchObject({
    code: 'invalid-data',
    message: expect.stringMatching(/1 missing picture.*data\.jsonl:1: .*gone\.png/) as string,
  });
});

test('the seed decides order and choice, nothing else does', async () => {
  const records = Array.from({ length: 30 }, (_, i) => ({ conversations: ask(`How much is ${i}?`, `${i}`) }));
  const [first, second] = [await prepare(records, 10), await prepare(records, 10)];
  expect(first.samples).toHaveLength(10);
  expect(first.hash).toBe(second.hash);
  expect((await prepare(records.slice(1), 10)).hash).not.toBe(first.hash);
});
