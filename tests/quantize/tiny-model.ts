import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parameterInventory, parseConfig } from '@speedq/model';
import sharp from 'sharp';
import { createRandom } from '../../tools/src/data/random.ts';
import { writeFloatCheckpoint } from '../../tools/src/packing/float-checkpoint.ts';
import { loadPico } from '../../tools/src/train/pico.ts';

const PICO = new URL('../../tools/models/pico/', import.meta.url).pathname;
const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer_config.json'];

interface TinySize {
  readonly width: number;
  readonly layers: number;
  readonly visionWidth: number;
  /** Pixels of a picture's side; a visual token covers 28 × 28. */
  readonly side: number;
  readonly vocabulary?: number;
}

const TINY: TinySize = { width: 64, layers: 2, visionWidth: 32, side: 56 };
/** Of the same vocabulary; wider, deeper, with 9 visual tokens a picture instead of 4. */
export const TINY_TEACHER: TinySize = { width: 96, layers: 3, visionWidth: 48, side: 84 };

/** A folder of pico's kind with random weights, small enough to train in seconds. */
export async function writeTinyModel(
  folder: string,
  { width, layers, visionWidth, side, vocabulary }: TinySize = TINY,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const file of TOKENIZER_FILES) await cp(join(PICO, file), join(folder, file));
  const { configJson } = await loadPico(PICO);
  const config = {
    ...configJson,
    image_seq_length: (side / 28) ** 2,
    text_config: {
      ...configJson.text_config,
      ...{ hidden_size: width, intermediate_size: 1.5 * width, num_hidden_layers: layers },
      ...{ num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128 },
      ...(vocabulary !== undefined && { vocab_size: vocabulary }),
    },
    vision_config: {
      ...configJson.vision_config,
      ...{ hidden_size: visionWidth, intermediate_size: 2 * visionWidth, num_hidden_layers: 2 },
      ...{ num_attention_heads: 2, image_size: [side, side] },
    },
  };
  const write = (name: string, value: unknown) => writeFile(join(folder, name), JSON.stringify(value));
  await write('config.json', config);
  await write('preprocessor_config.json', { size: { height: side, width: side }, max_patches: 1 });
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
