import {
  BILEVEL_2BIT_G16,
  SYMMETRIC_4BIT,
  dequantizeSymmetric,
  fakeQuantizeBilevel,
  packBilevel,
  quantizeBilevelTensor,
  quantizeSymmetric,
  unpackToFloat,
} from '@speedq/format';
import type { TensorSource } from '@speedq/model';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openModelFolder, requireFloat, requirePacked, withModelFolder } from '../model-folder.ts';
import { RECIPES } from '../recipes/recipes.ts';
import { packModel } from './pack-model.ts';
import { quantizeTensor } from './quantize-tensor.ts';
import { verifyPackedModel } from './verify.ts';

const goldens = fileURLToPath(new URL('../../../tests/goldens/internvl', import.meta.url));
const micro = join(goldens, 'micro');
const twin = join(goldens, 'micro-original-layout');
const recipe = RECIPES['2bit'];
const up = 'language_model.model.layers.1.mlp.up_proj.weight';
const embedding = 'language_model.model.embed_tokens.weight';

let scratch: string;
let packed: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'speedq-pack-'));
  packed = join(scratch, 'packed');
  await withModelFolder(micro, (folder) => packModel({ folder, recipe, outDir: packed }));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

/** By bytes: element-wise equality of large arrays takes seconds. */
function same(a: ArrayBufferView, b: ArrayBufferView): boolean {
  const bytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
    Buffer.from(buffer, byteOffset, byteLength);
  return bytes(a).equals(bytes(b));
}

/** A source of one matrix that is not in any file. */
function matrix(values: Float32Array, shape: readonly [number, number]): TensorSource {
  const parameter = { name: 'w', shape, part: 'language', role: 'linear' } as const;
  return {
    parameters: [parameter],
    headIsTied: false,
    parameter: () => parameter,
    read: () => Promise.resolve(values),
    readRows: (_, start, end) => Promise.resolve(values.slice(start * shape[1], end * shape[1])),
  };
}

describe('model folders', () => {
  test('the original layout holds the same tensors as its Hugging Face twin', async () => {
    const [a, b] = await Promise.all([openModelFolder(micro), openModelFolder(twin)]);
    for (const { name, shape } of a.tensors.parameters) {
      expect(b.tensors.parameter(name).shape).toEqual(shape);
      expect(same(await b.tensors.read(name), await a.tensors.read(name)), name).toBe(true);
    }
    const key = 'vision_tower.encoder.layer.1.attention.v_proj.weight';
    const rows = (await a.tensors.read(key)).slice(3 * 64, 9 * 64);
    expect(same(await b.tensors.readRows(key, 3, 9), rows)).toBe(true);
    await Promise.all([a.close(), b.close()]);
  });

  test('a packed folder reads as the floats that its codes stand for', async () => {
    await withModelFolder(micro, (float) =>
      withModelFolder(packed, async (folder) => {
        const weight = await float.tensors.read(up);
        const { values } = fakeQuantizeBilevel(weight, 160, 64, BILEVEL_2BIT_G16);
        expect(same(await folder.tensors.read(up), values)).toBe(true);
        expect(await folder.tensors.readRows(up, 5, 7)).toEqual(values.slice(5 * 64, 7 * 64));
        const table = await float.tensors.read(embedding);
        const quantized = dequantizeSymmetric(quantizeSymmetric(table, 256, 64));
        expect(same(await folder.tensors.read(embedding), quantized)).toBe(true);
      }),
    );
  });
});

describe('packing', () => {
  test('both layouts give the same shards; each keeps its own system prompt', async () => {
    const out = join(scratch, 'twin');
    const shard = 'model-00001-of-00001.safetensors';
    await withModelFolder(twin, (folder) => packModel({ folder, recipe, outDir: out }));
    expect(same(await readFile(join(out, shard)), await readFile(join(packed, shard)))).toBe(true);
    const prompt = async (path: string) =>
      withModelFolder(path, async (folder) => requirePacked(folder).weights.manifest.prompt.systemPrompt);
    expect(await prompt(packed)).toBeNull();
    expect(await prompt(out)).toMatch(/InternVL/);
  });

  test('the result verifies, and knows where answers end and how pictures are cut', async () => {
    await withModelFolder(packed, async (folder) => {
      expect(await verifyPackedModel(requirePacked(folder))).toEqual([]);
      const { manifest } = requirePacked(folder).weights;
      expect(manifest.name).toBe('packed');
      expect(manifest.stopTokenIds).toEqual([243]);
      expect(manifest.tokensPerTile).toBe(4);
      expect(manifest.tiling).toEqual({ tileSize: 56, minTiles: 1, maxTiles: 12, useThumbnail: true });
      expect(folder.configJson.quantization_config).toMatchObject({ quant_method: 'speedq', recipe: '2bit' });
    });
  });

  test('quantizers may bring their own codes or bounds', async () => {
    const out = join(scratch, 'override');
    const gate = 'language_model.model.layers.1.mlp.gate_proj.weight';
    const zeros = quantizeBilevelTensor(new Float32Array(160 * 64), 160, 64, BILEVEL_2BIT_G16);
    const groups = 160 * 4;
    const range = { min: new Float32Array(groups).fill(-0.25), max: new Float32Array(groups).fill(0.5) };
    await withModelFolder(micro, async (folder) => {
      await packModel({
        folder,
        recipe,
        outDir: out,
        override: (name) =>
          name === up ? { packed: packBilevel(zeros) } : name === gate ? { range } : undefined,
      });
      const expected = fakeQuantizeBilevel(await folder.tensors.read(gate), 160, 64, BILEVEL_2BIT_G16, {
        range,
      });
      await withModelFolder(out, async (result) => {
        expect((await result.tensors.read(up)).every((value) => value === 0)).toBe(true);
        expect(same(await result.tensors.read(gate), expected.values)).toBe(true);
      });
    });
  });

  test('nothing is overwritten unless it is an earlier output and force is given', async () => {
    await withModelFolder(micro, async (folder) => {
      const taken = join(scratch, 'taken');
      await packModel({ folder, recipe, outDir: taken });
      await expect(packModel({ folder, recipe, outDir: taken })).rejects.toMatchObject({
        code: 'output-exists',
      });
      await packModel({ folder, recipe, outDir: taken, force: true });
      await rm(join(taken, 'manifest.json'));
      await writeFile(join(taken, 'thesis.txt'), 'years of work');
      await expect(packModel({ folder, recipe, outDir: taken, force: true })).rejects.toMatchObject({
        code: 'output-exists',
      });
      expect(await readFile(join(taken, 'thesis.txt'), 'utf8')).toBe('years of work');
    });
  });

  test('an interrupted run leaves nothing under the final name', async () => {
    const out = join(scratch, 'interrupted');
    const abort = new AbortController();
    await withModelFolder(micro, async (folder) => {
      const override = () => {
        abort.abort(new Error('stop'));
        return undefined;
      };
      const running = packModel({
        folder: requireFloat(folder),
        recipe,
        outDir: out,
        override,
        signal: abort.signal,
      });
      await expect(running).rejects.toThrow('stop');
    });
    await expect(readFile(join(out, 'config.json'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('quantizing a few rows at a time', () => {
  const shape = [48, 64] as const;
  const values = Float32Array.from({ length: 48 * 64 }, (_, i) => Math.sin(i * 12.9898) * (1 + (i % 7)));
  const bounds = (value: number) => new Float32Array(48 * 4).map((_, i) => value * (1 + i / 100));

  test.each([
    ['bilevel', BILEVEL_2BIT_G16, {}],
    ['bilevel with bounds', BILEVEL_2BIT_G16, { range: { min: bounds(-1), max: bounds(1.5) } }],
    ['symmetric', SYMMETRIC_4BIT, {}],
  ])('%s: gives what quantizing at once gives', async (_, scheme, options) => {
    const source = matrix(values, shape);
    const whole = await quantizeTensor(source, 'w', scheme, options);
    const pieces = await quantizeTensor(source, 'w', scheme, { ...options, chunkElements: 20 * 64 });
    expect(pieces).toEqual(whole);
    expect(unpackToFloat(whole).length).toBe(values.length);
  });
});
