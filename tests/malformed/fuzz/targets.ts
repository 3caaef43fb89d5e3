import {
  checkPackedValues,
  checkShard,
  parseJson,
  parseManifest,
  parseSafetensors,
  readPackedTensor,
  SpeedqError,
  tensorBytes,
  tensorToFloats,
  writeSafetensors,
} from '@speedq/format';
import type { PackedManifest } from '@speedq/format';
import { parseConfig } from '@speedq/model';
import { openTokenizer, sniffImage } from '@speedq/processor';
import { decodeImage } from '@speedq/processor/node';
import { createCodec, readZip } from '@speedq/runtime';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import type { Random } from '../../../tools/src/data/random.ts';
import { goldenPath } from '../../golden/folder.ts';
import { ALIEN_FILES } from './alien-files.ts';
import type { Target } from './harness.ts';
import { makeZip } from './make-zip.ts';
import { mutateBytes, mutateJson, mutatePicture, mutateSafetensors } from './mutate.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** JSON files: mostly damaged as trees, sometimes as bytes. */
function damageJson(random: Random, json: unknown, text: Uint8Array): Uint8Array {
  return random.chance(0.8) ? utf8(mutateJson(random, json)) : mutateBytes(random, text, text);
}

const SHARD = 'model-00001-of-00001.safetensors';

/** Readers of everything that a model folder or a person may hand in. */
export async function createTargets(packed: string): Promise<Target[]> {
  const read = (name: string): Uint8Array => new Uint8Array(readFileSync(join(packed, name)));
  const manifestText = textOf(read('manifest.json'));
  const manifestJson = JSON.parse(manifestText) as Record<string, unknown>;
  // Damage that the checksum would find is found before anything else is looked at.
  delete manifestJson.checksum;
  const manifest = parseManifest(manifestText);
  const shard = read(SHARD);
  const pico = (name: string): Uint8Array =>
    new Uint8Array(readFileSync(join('web/public/models/pico-2bit', name)));
  const tokenizerText = pico('tokenizer.json');
  const tokenizerJson = JSON.parse(textOf(tokenizerText)) as unknown;
  const [merges, vocab, added] = ['merges.txt', 'vocab.json', 'added_tokens.json'].map(pico);
  const vocabJson = JSON.parse(textOf(vocab)) as unknown;
  const tokenizer = openTokenizer({ 'tokenizer.json': textOf(tokenizerText) });
  const configs = ['group6', 'micro', 'micro-original-layout', 'tile448'].map(
    (name) => JSON.parse(readFileSync(goldenPath('internvl', name, 'config.json'), 'utf8')) as unknown,
  );
  const safetensors = smallSafetensors();
  const pictures = await smallPictures();
  const zip = makeZip(
    new Map(
      ['manifest.json', 'config.json', 'generation_config.json'].map((name) => [`model/${name}`, read(name)]),
    ),
  );

  return [
    {
      kind: 'manifest',
      share: 20,
      make: (random) => damageJson(random, manifestJson, utf8(manifestText)),
      read: (input) => {
        const parsed = parseManifest(textOf(input));
        // What is accepted is used: prompts are built from it.
        const codec = createCodec(parsed, tokenizer);
        codec.encode([{ role: 'user', parts: [{ type: 'text', text: 'Hi <img> there' }] }], true);
      },
    },
    {
      kind: 'config',
      share: 15,
      make: (random) => {
        const config = random.pick(configs);
        return damageJson(random, config, utf8(JSON.stringify(config)));
      },
      read: (input) => void parseConfig(json(textOf(input))),
    },
    {
      kind: 'safetensors',
      share: 25,
      make: (random) => {
        const other = random.pick(ALIEN_FILES).bytes;
        if (random.chance(0.1)) return mutateBytes(random, other, safetensors);
        return mutateSafetensors(random, safetensors, other);
      },
      read: (input) => {
        for (const info of parseSafetensors(input).tensors.values()) {
          const bytes = tensorBytes(input, info);
          if (info.dtype === 'F32' || info.dtype === 'F16' || info.dtype === 'BF16')
            tensorToFloats(bytes, info.dtype);
        }
      },
    },
    {
      kind: 'packed shard',
      share: 4,
      make: (random) => mutateSafetensors(random, shard, safetensors),
      read: (input) => readShard(manifest, input),
    },
    {
      kind: 'tokenizer.json',
      share: 4,
      make: (random) => damageJson(random, tokenizerJson, tokenizerText),
      read: (input) => useTokenizer({ 'tokenizer.json': textOf(input) }),
    },
    {
      kind: 'vocabulary and merges',
      share: 4,
      make: (random) =>
        random.chance(0.5) ? mutateBytes(random, merges, vocab) : damageJson(random, vocabJson, vocab),
      read: (input) => {
        const text = textOf(input);
        const isJson = text.trimStart().startsWith('{');
        const [vocabulary, list] = isJson ? [text, textOf(merges)] : [textOf(vocab), text];
        useTokenizer({
          'vocab.json': vocabulary,
          'merges.txt': list,
          'added_tokens.json': textOf(added),
        });
      },
    },
    {
      kind: 'zip',
      share: 6,
      make: (random) => mutateBytes(random, zip, random.pick(ALIEN_FILES).bytes),
      read: async (input) => {
        const files = await readZip(new Blob([Uint8Array.from(input)]), 'model.zip');
        for (const file of files.values()) {
          for await (const chunk of file.stream())
            if (chunk.length > file.size) throw new Error('more than it says');
        }
      },
    },
    {
      kind: 'picture header',
      share: 20,
      make: (random) => mutatePicture(random, random.pick(pictures), random.pick(ALIEN_FILES).bytes),
      read: (input) => void sniffImage(input),
    },
    {
      kind: 'picture',
      share: 2,
      make: (random) => mutatePicture(random, random.pick(pictures), random.pick(ALIEN_FILES).bytes),
      read: async (input) => void (await decodeImage(input)),
      // A picture is as large as it says, within MAX_IMAGE_PIXELS: RGB out, and the copy it came in.
      grant: (input) => {
        const { width = 0, height = 0 } = sniffImage(input);
        return width * height <= 2 ** 26 ? width * height * 6 : 0;
      },
    },
  ];
}

function json(text: string): unknown {
  try {
    return parseJson(text);
  } catch (cause) {
    throw new SpeedqError('invalid-config', 'not JSON', { cause });
  }
}

function useTokenizer(files: Parameters<typeof openTokenizer>[0]): void {
  const tokenizer = openTokenizer(files);
  const ids = tokenizer.encode('How many red circles? <|im_end|> café 日本 12345', { allowSpecial: true });
  tokenizer.decode(ids);
}

async function readShard(manifest: PackedManifest, input: Uint8Array): Promise<void> {
  const header = parseSafetensors(input, SHARD);
  checkShard(manifest, SHARD, header);
  const open = () => ({
    header,
    read: (info: Parameters<typeof tensorBytes>[1]) => tensorBytes(input, info),
  });
  for (const name of manifest.tensors.keys()) {
    checkPackedValues(await readPackedTensor(manifest, name, open), name);
  }
}

function smallSafetensors(): Uint8Array {
  return writeSafetensors([
    { name: 'a', dtype: 'F32', shape: [2, 3], data: new Float32Array(6) },
    { name: 'b', dtype: 'F16', shape: [4], data: new Uint16Array(4) },
    { name: 'c', dtype: 'U32', shape: [2, 2, 2], data: new Uint32Array(8) },
    { name: 'd', dtype: 'BF16', shape: [1, 8], data: new Uint16Array(8) },
  ]);
}

async function smallPictures(): Promise<Uint8Array[]> {
  const { data, info } = await sharp({
    create: {
      width: 40,
      height: 24,
      channels: 3,
      background: { r: 200, g: 30, b: 90 },
      noise: { type: 'gaussian', mean: 128, sigma: 60 },
    },
  })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const picture = () =>
    sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } });
  const encoded = await Promise.all([
    picture().png().toBuffer(),
    picture().png({ palette: true, progressive: true }).toBuffer(),
    picture().jpeg().toBuffer(),
    picture()
      .jpeg({ progressive: true })
      .withExif({ IFD0: { Copyright: 'none' } })
      .toBuffer(),
    picture().webp().toBuffer(),
    picture().webp({ lossless: true }).toBuffer(),
    picture().gif().toBuffer(),
  ]);
  return encoded.map((buffer) => new Uint8Array(buffer));
}
