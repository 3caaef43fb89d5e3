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

interface Given {
  readonly wanted?: number;
  readonly maxLength?: number;
  readonly maxTiles?: number;
  readonly seed?: number;
  readonly minFrames?: number;
  readonly maxFrames?: number;
}

async function prepare(records: readonly (object | string)[], given: Given = {}) {
  await write('data.jsonl', records);
  return prepareFrom('data.jsonl', given);
}

async function write(name: string, records: readonly (object | string)[]) {
  const lines = records.map((record) => (typeof record === 'string' ? record : JSON.stringify(record)));
  await writeFile(join(folder, name), `${lines.join('\n')}\n`);
}

async function prepareFrom(
  file: string,
  { wanted = 1000, maxLength = 100, maxTiles = 1, seed = 1, minFrames = 8, maxFrames = 28 }: Given = {},
) {
  const { sources } = await findSources(join(folder, file));
  const tiling = { tileSize: 168, minTiles: 1, maxTiles, useThumbnail: true };
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
    ...{ maxLength, wanted, wantedPictures: 0, seed, frames: { minFrames, maxFrames } },
  });
}

/** A prompt with the tokens of each tile as one dot. */
const shown = (ids: readonly number[]) =>
  tokenizer.decode([...ids]).replaceAll('<IMG_CONTEXT>'.repeat(config.tokensPerTile), '.');

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
    { video: 'no-film.mp4', conversations: ask('<video>\nWhat happens?') },
  ];
  await writeFile(join(folder, 'film.mp4'), '');
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
    'missing video': 1,
  });
  expect(problems.describe()).toMatch(/8 conversations left out.*data\.jsonl:\d+: /);
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
  const [first, second] = [await prepare(records, { wanted: 10 }), await prepare(records, { wanted: 10 })];
  expect(first.samples).toHaveLength(10);
  expect(first.hash).toBe(second.hash);
  expect((await prepare(records, { wanted: 10, seed: 2 })).hash).not.toBe(first.hash);
  expect((await prepare(records.slice(1), { wanted: 10 })).hash).not.toBe(first.hash);
});

test('text alone has no tiles', async () => {
  const [{ ids, pictures, tiles }] = (await prepare([{ conversations: ask('How much is 1?', '1') }])).samples;
  expect({ pictures, tiles }).toEqual({ pictures: [], tiles: 0 });
  expect(shown(ids)).toBe('<|im_start|>user\nHow much is 1?<|im_end|>\n<|im_start|>assistant\n1<|im_end|>\n');
});

test('a wide picture has several tiles and a thumbnail; several pictures share the tiles', async () => {
  const wide = { create: { width: 672, height: 168, channels: 3, background: 'blue' } } as const;
  await sharp(wide).png().toFile(join(folder, 'wide.png'));
  const given = { maxTiles: 6, maxLength: 1000 };
  const [one] = (await prepare([{ image: 'wide.png', conversations: ask('?') }], given)).samples;
  expect(shown(one.ids)).toContain('<img>.....</img>\n?');
  expect(one.tiles).toBe(5);
  // At most 3 of 6 each: 3 tiles beside each other, and the thumbnail.
  const record = { image: ['wide.png', 'red.png'], conversations: ask('<image> or\n<image>?') };
  const [two] = (await prepare([record], given)).samples;
  expect(shown(two.ids)).toContain('<img>....</img> or\n<img>.</img>?');
  expect(two).toMatchObject({ tiles: 5, pictures: [0, 1] });
});

test('repeat_time repeats a set, or takes the first share of it, and the seed samples from all', async () => {
  const numbered = (name: string) =>
    Array.from({ length: 10 }, (_, i) => ({ conversations: ask(`${name} ${i}?`, `${i}`) }));
  await write('a.jsonl', numbered('a'));
  await write('b.jsonl', numbered('b'));
  const meta = {
    a: { root: '.', annotation: 'a.jsonl', repeat_time: 3, data_augment: false, length: 10 },
    b: { root: '.', annotation: 'b.jsonl', repeat_time: 0.45, data_augment: false, length: 10 },
  };
  await writeFile(join(folder, 'sets.json'), JSON.stringify(meta));
  const questions = async (given: Given) =>
    (await prepareFrom('sets.json', given)).samples.map(
      ({ ids }) => /user\n(.*)<\|im_end\|>\n<\|im_start\|>assistant/.exec(tokenizer.decode([...ids]))![1],
    );
  const all = await questions({});
  const expected = [
    ...Array.from({ length: 30 }, (_, i) => `a ${i % 10}?`),
    ...Array.from({ length: 4 }, (_, i) => `b ${i}?`),
  ];
  expect(all.toSorted()).toEqual(expected.toSorted());
  expect(await questions({ wanted: 12 })).toEqual(all.slice(0, 12));
  expect(await questions({ seed: 2 })).not.toEqual(all);
});
