import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCommandLine } from '../../cli.ts';
import { withModelFolder } from '../../model-folder.ts';

const PACKED = fileURLToPath(new URL('../../../../web/public/models/pico-2bit', import.meta.url));
const ALIGNMENT = 32;

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-gguf-'));
  const terminal = { stdout: () => undefined, stderr: () => undefined, interactive: false, colour: false };
  const argv = ['export', PACKED, '--to', 'gguf', '--out', join(folder, 'gguf')];
  expect(await runCommandLine(argv, terminal)).toBe(0);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A reader of the format's header, from its description. */
async function readHeader(name: string) {
  const bytes = await readFile(join(folder, 'gguf', name));
  let at = 0;
  const u32 = () => bytes.readUInt32LE((at += 4) - 4);
  const u64 = () => Number(bytes.readBigUInt64LE((at += 8) - 8));
  const text = (): string => {
    const length = u64();
    return bytes.toString('utf8', at, (at += length));
  };
  const value = (type: number): unknown => {
    if (type === 4) return u32();
    if (type === 5) return bytes.readInt32LE((at += 4) - 4);
    if (type === 6) return bytes.readFloatLE((at += 4) - 4);
    if (type === 7) return bytes[at++] === 1;
    if (type === 8) return text();
    expect(type).toBe(9);
    const element = u32();
    return Array.from({ length: u64() }, () => value(element));
  };
  expect(bytes.toString('latin1', 0, (at = 4))).toBe('GGUF');
  expect(u32()).toBe(3);
  const [tensorCount, valueCount] = [u64(), u64()];
  const metadata = new Map(Array.from({ length: valueCount }, () => [text(), value(u32())] as const));
  const tensors = Array.from({ length: tensorCount }, () => ({
    name: text(),
    sizes: Array.from({ length: u32() }, u64),
    type: u32(),
    offset: u64(),
  }));
  const data = bytes.subarray(Math.ceil(at / ALIGNMENT) * ALIGNMENT);
  return { metadata, tensors, data };
}

it('has the language model as llama.cpp knows it', async () => {
  const { metadata, tensors, data } = await readHeader('model.gguf');
  expect(Object.fromEntries(metadata)).toMatchObject({
    'general.architecture': 'qwen2',
    'qwen2.embedding_length': 256,
    'qwen2.rope.freq_base': 1e6,
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'qwen2',
  });
  const tokens = metadata.get('tokenizer.ggml.tokens') as string[];
  expect(tokens.length).toBe(1536);
  expect(tokens[metadata.get('tokenizer.ggml.eos_token_id') as number]).toBe('<|im_end|>');
  expect(tensors.length).toBe(3 + 6 * 12);
  expect(tensors.find(({ name }) => name === 'blk.0.ffn_up.weight')).toMatchObject({
    sizes: [256, 640],
    type: 11,
  });
  expect(tensors.every(({ offset }) => offset % ALIGNMENT === 0 && offset < data.length)).toBe(true);
});

it('has vision encoder and projector in a file of their own', async () => {
  const { metadata, tensors } = await readHeader('mmproj.gguf');
  expect(Object.fromEntries(metadata)).toMatchObject({
    'general.architecture': 'clip',
    'clip.projector_type': 'internvl',
    'clip.vision.image_size': 168,
    'clip.vision.projector.scale_factor': 2,
  });
  const names = tensors.map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining(['v.class_embd', 'v.blk.0.ls1.weight', 'mm.model.mlp.3.bias']),
  );
  expect(names.some((name) => name.includes('undefined'))).toBe(false);
});

it('has the position of the class token last, where llama.cpp puts that token', async () => {
  const name = 'vision_tower.embeddings.position_embeddings';
  const ours = await withModelFolder(PACKED, ({ tensors }) => tensors.read(name));
  const { tensors, data } = await readHeader('mmproj.gguf');
  const { offset, sizes, type } = tensors.find((tensor) => tensor.name === 'v.position_embd.weight')!;
  expect({ sizes, type }).toEqual({ sizes: [256, 145], type: 0 });
  const theirs = Float32Array.from(ours, (_, i) => data.readFloatLE(offset + 4 * i));
  expect(theirs.subarray(0, -256)).toEqual(ours.subarray(256));
  expect(theirs.subarray(-256)).toEqual(ours.subarray(0, 256));
});
