import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfig } from '@speedq/model';
import { IGNORE_INDEX, IMAGENET_MEAN, IMAGENET_STD } from '@speedq/processor';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadPico } from '../../train/pico.ts';
import { prepareSamples } from './samples.ts';
import { samplesFor } from './samples-for.ts';
import { findSources } from './sources.ts';

const PICO = new URL('../../../models/pico/', import.meta.url).pathname;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-samples-for-'));
  const picture = (width: number, height: number) =>
    sharp({ create: { width, height, channels: 3, background: 'red' } }).png();
  await picture(300, 100).toFile(join(folder, 'wide.png'));
  await picture(100, 100).toFile(join(folder, 'square.png'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('are what the template writes for that model, whatever the pictures are cut into', async () => {
  const { configJson, tokenizer } = await loadPico(PICO);
  const config = parseConfig(configJson);
  const records = [
    { image: ['wide.png', 'square.png'], ask: '<image><image>\nWhich is wider?', answer: 'the first' },
    { image: 'wide.png', ask: '<image>\nWhat colour is it?', answer: 'red' },
    { ask: 'What colour is a banana?', answer: 'yellow' },
  ].map(({ image, ask, answer }) => ({
    image,
    conversations: [
      { from: 'human', value: ask },
      { from: 'gpt', value: answer },
    ],
  }));
  await writeFile(
    join(folder, 'data.jsonl'),
    records.map((record) => `${JSON.stringify(record)}\n`).join(''),
  );
  const { sources } = await findSources(join(folder, 'data.jsonl'));
  const [mean, std] = [IMAGENET_MEAN, IMAGENET_STD] as unknown as [number, number, number][];
  const prepare = (tokensPerTile: number, tileSize: number, minTiles: number) => {
    const metadata = {
      tiling: { tileSize, minTiles, maxTiles: 6, useThumbnail: true },
      normalization: { mean, std },
      ...{ tokensPerTile, stopTokenIds: [] },
      prompt: { systemPrompt: null, imageStart: '<img>', imageContext: '<IMG_CONTEXT>', imageEnd: '</img>' },
    };
    const template = { tokenizer, tokensPerTile, systemPrompt: null };
    const limits = {
      maxLength: 1000,
      wanted: 100,
      wantedPictures: 0,
      seed: 1,
      frames: { minFrames: 1, maxFrames: 1 },
    };
    return { metadata, prepared: prepareSamples({ sources, metadata, template, ...limits }) };
  };
  const own = await prepare(4, 56, 1).prepared;
  const other = prepare(9, 84, 4);
  const expected = await other.prepared;
  // Otherwise the test would say little.
  expect(expected.samples.map(({ tiles }) => tiles)).not.toEqual(own.samples.map(({ tiles }) => tiles));

  const found = await samplesFor(own, { ...config, tokensPerTile: 9 }, other.metadata, 1);
  expect(found.samples).toHaveLength(3);
  found.samples.forEach(({ ids, labels, tiles, pictures }, index) => {
    const wanted = expected.samples[index];
    expect({ ids, labels, tiles }).toEqual({ ids: wanted.ids, labels: wanted.labels, tiles: wanted.tiles });
    // The supervised text is the student's.
    const answer = (all: readonly number[]) => all.filter((label) => label !== IGNORE_INDEX);
    expect(answer(labels)).toEqual(answer(own.samples[index].labels));
    pictures.forEach((picture, i) => {
      const [a, b] = [found.pictures.pictures[picture], expected.pictures.pictures[wanted.pictures[i]]];
      expect(a).toEqual(b);
    });
  });
  const pixels = await found.pictures.pixels(
    found.samples.find(({ pictures }) => pictures.length === 2)!.pictures[1],
  );
  expect(pixels.length % (3 * 84 * 84)).toBe(0);
});
