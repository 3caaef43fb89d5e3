import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parameterInventory, parseConfig } from '@speedq/model';
import sharp from 'sharp';
import { createRandom } from '../../tools/src/data/random.ts';
import { writeFloatCheckpoint } from '../../tools/src/packing/float-checkpoint.ts';
import { loadPico } from '../../tools/src/train/pico.ts';

const PICO = new URL('../../tools/models/pico/', import.meta.url).pathname;
const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer_config.json'];

/** A folder of pico's kind with random weights, small enough to train in seconds: 4 visual tokens a picture. */
export async function writeTinyModel(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const file of TOKENIZER_FILES) await cp(join(PICO, file), join(folder, file));
  const { configJson } = await loadPico(PICO);
  const config = {
    ...configJson,
    image_seq_length: 4,
    text_config: {
      ...configJson.text_config,
      ...{ hidden_size: 64, intermediate_size: 96, num_hidden_layers: 2, max_position_embeddings: 128 },
      ...{ num_attention_heads: 4, num_key_value_heads: 2 },
    },
    vision_config: {
      ...configJson.vision_config,
      ...{ hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2 },
      image_size: [56, 56],
    },
  };
  const write = (name: string, value: unknown) => writeFile(join(folder, name), JSON.stringify(value));
  await write('config.json', config);
  await write('preprocessor_config.json', { size: { height: 56, width: 56 }, max_patches: 1 });
  const tensors = parameterInventory(parseConfig(config)).map(({ name, shape, role }, index) => ({
    name,
    shape,
    chunks: () => [randomValues(shape, role === 'norm' || role === 'layer-scale' ? 1 : 0, index)],
  }));
  await writeFloatCheckpoint(join(folder, 'model.safetensors'), tensors, 'F32');
}

function randomValues(shape: readonly number[], mean: number, seed: number): Float32Array {
  const random = createRandom(77, seed);
  const inputs = shape.length > 1 ? shape.slice(1).reduce((a, b) => a * b, 1) : 100;
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
  // A sum of four uniform numbers is close enough to normal.
  const normal = () => (random.next() + random.next() + random.next() + random.next() - 2) * Math.sqrt(3);
  return values.map(() => mean + normal() / Math.sqrt(inputs));
}

export interface TinyRecord {
  readonly image?: string | readonly string[];
  readonly conversations: readonly { readonly from: string; readonly value: string }[];
}

/** Coloured noise pictures and questions about them, as JSONL with a meta JSON. */
export async function writeTinyData(folder: string, count = 40): Promise<void> {
  await mkdir(folder, { recursive: true });
  const records: TinyRecord[] = [];
  for (let i = 0; i < count; i++) {
    const random = createRandom(5, i);
    const image = `${i}.png`;
    const data = new Uint8Array(56 * 56 * 3).map(() => random.int(256));
    await sharp(data, { raw: { width: 56, height: 56, channels: 3 } })
      .png()
      .toFile(join(folder, image));
    const answer = random.pick(['a red star', 'two cats and a blue circle', '3', 'yes']);
    const turns = [
      { from: 'human', value: '<image>\nWhat is in the picture?' },
      { from: 'gpt', value: answer },
    ];
    if (i % 5 === 0) turns.push({ from: 'human', value: 'Is it large?' }, { from: 'gpt', value: 'no' });
    records.push({ image, conversations: turns });
    if (i % 8 === 0) {
      records.push({
        conversations: [
          { from: 'human', value: 'What colour is a banana?' },
          { from: 'gpt', value: 'yellow' },
        ],
      });
    }
  }
  await writeRecords(folder, records);
}

async function writeRecords(folder: string, records: readonly unknown[]): Promise<void> {
  await writeFile(
    join(folder, 'data.jsonl'),
    records.map((record) => `${JSON.stringify(record)}\n`).join(''),
  );
  const meta = {
    tiny: {
      root: '.',
      annotation: 'data.jsonl',
      data_augment: false,
      repeat_time: 1,
      length: records.length,
    },
  };
  await writeFile(join(folder, 'meta.json'), JSON.stringify(meta));
}

/** All three stages, short, on the tiny model. */
export const tinyRecipe = {
  extends: 'quick',
  stage1: { iterations: 60, batchSize: 4, calibrationImages: 16, learningRate: 0.02, clipSearchTokens: 64 },
  stage2: { steps: 20, batchSize: 4 },
  stage3: { steps: 40, batchSize: 4, gammaBatches: 2, clipSearchTokens: 64 },
} as const;
