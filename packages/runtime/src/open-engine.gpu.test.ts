import { requestNodeDevice, requestTestDevice } from '@speedq/kernels/node';
import { preprocessImage } from '@speedq/processor';
import { decodeImage } from '@speedq/processor/node';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Conversation } from './conversation.ts';
import type { ChatEngine, ResponseStats, RespondOptions } from './engine.ts';
import type { ModelFiles } from './loading/model-files.ts';
import { openModelFolder } from './node.ts';
import { openEngine } from './open-engine.ts';
import type { ChatMessage, Picture } from './prompt.ts';

/** The packed model that comes with the repository, through everything that a page's worker does with it. */
const publicFolder = fileURLToPath(new URL('../../../web/public/', import.meta.url));
const folder = `${publicFolder}models/pico-2bit`;
const gpu = await requestTestDevice();

const say = (text: string): ChatMessage => ({ role: 'user', parts: [{ type: 'text', text }] });
const show = (picture: Picture, text: string): ChatMessage => ({
  role: 'user',
  parts: [
    { type: 'image', picture },
    { type: 'text', text },
  ],
});

async function ask(
  conversation: Conversation,
  message: ChatMessage,
  options: RespondOptions = {},
): Promise<{ text: string; ids: string[]; stats: ResponseStats }> {
  let text = '';
  const ids: string[] = [];
  let stats!: ResponseStats;
  const pieces = conversation.respond([message], {
    maxNewTokens: 12,
    ...options,
    logProbs: { count: 0, onToken: (token) => ids.push(token.text) },
    onStats: (value) => (stats = value),
  });
  for await (const piece of pieces) text += piece;
  return { text, ids, stats };
}

describe.skipIf(gpu === null || !existsSync(`${folder}/manifest.json`))('the packed model', () => {
  let files: ModelFiles;
  let engine: ChatEngine;
  let picture: Picture;
  beforeAll(async () => {
    files = await openModelFolder(folder);
    engine = await openEngine(gpu!.device, files);
    const image = await decodeImage(await readFile(`${publicFolder}samples/farm.png`));
    const { tiling, normalization } = files.manifest;
    const { tiles, pixelValues } = preprocessImage(image, { ...tiling, ...normalization });
    picture = { tiles, pixels: pixelValues, key: 'farm' };
  }, 300_000);
  afterAll(() => engine?.destroy());

  it('computes neither the picture nor the shared prefix again for a second question, and answers the same', async () => {
    const conversation = new Conversation(engine);
    const first = await ask(conversation, show(picture, 'What is in the picture?'));
    expect(first.stats.encodedTiles).toBe(picture.tiles);
    const shared = engine.encode([show(picture, 'What is in the picture?')], true).ids.length;
    const second = await ask(conversation, say('How many animals are there?'));
    expect(second.stats.encodedTiles).toBe(0);
    expect(second.stats.reusedTokens).toBeGreaterThanOrEqual(shared);

    const cold = await openEngine(gpu!.device, files);
    const history: ChatMessage[] = [
      show(picture, 'What is in the picture?'),
      { role: 'assistant', parts: [{ type: 'text', text: first.text }] },
    ];
    const again = await ask(new Conversation(cold, history), say('How many animals are there?'));
    expect(again.stats.reusedTokens).toBe(0);
    expect(again.ids).toEqual(second.ids);
    expect(again.text).toBe(second.text);
    cold.destroy();
  });

  it('goes on with the same tokens on another device when its own is lost in the middle of an answer', async () => {
    const expected = await ask(new Conversation(engine), show(picture, 'What is in the picture?'));
    const devices: GPUDevice[] = [];
    const newDevice = async (): Promise<GPUDevice> => {
      const { device } = await requestNodeDevice();
      devices.push(device);
      return device;
    };
    const mortal = await openEngine(await newDevice(), files, { newDevice });
    const conversation = new Conversation(mortal);
    let text = '';
    for await (const piece of conversation.respond([show(picture, 'What is in the picture?')], {
      maxNewTokens: 12,
    })) {
      text += piece;
      if (devices.length === 1) devices[0].destroy();
    }
    expect(text).toBe(expected.text);
    expect(devices).toHaveLength(2);
    mortal.destroy();
  }, 600_000);

  it('keeps to a schema, whatever it would have said', async () => {
    const schema = {
      type: 'object',
      properties: {
        animal: { enum: ['cow', 'cat', 'none'] },
        count: { type: 'integer', minimum: 0, maximum: 5 },
      },
      required: ['animal', 'count'],
    };
    const options = { responseConstraint: schema, maxNewTokens: 60 };
    const { text, stats } = await ask(new Conversation(engine), show(picture, 'What animals?'), options);
    expect(stats.finishReason).toBe('stop');
    const value = JSON.parse(text) as { animal: string; count: number };
    expect(['cow', 'cat', 'none']).toContain(value.animal);
    expect([0, 1, 2, 3, 4, 5]).toContain(value.count);
  });

  it('says what it will take before a shard is read, and is refused where that is too much', async () => {
    const read: string[] = [];
    const counted: ModelFiles = {
      manifest: files.manifest,
      read: (name) => {
        read.push(name);
        return files.read(name);
      },
    };
    const refused = openEngine(gpu!.device, counted, { maxMemoryBytes: 2e6 });
    await expect(refused).rejects.toMatchObject({ code: 'out-of-memory' });
    expect(read.filter((name) => name.endsWith('.safetensors'))).toEqual([]);
    let loaded: unknown;
    const other = await openEngine(gpu!.device, counted, {
      contextWindow: 300,
      onBudget: (budget) => {
        expect(read.some((name) => name.endsWith('.safetensors'))).toBe(false);
        loaded = budget.loaded;
      },
    });
    expect(other.memory).toEqual(loaded);
    other.destroy();
  });
});
