import {
  FLOAT16,
  FLOAT32,
  MAX_SHARD_BYTES,
  bitsPerWeight,
  declaredBytes,
  packedBytes,
  planShards,
  shardFileBytes,
  storedTensors,
  writeShards,
} from '@speedq/format';
import type { PackedTensor, PlannedTensor } from '@speedq/format';
import { elementCount, parameterInventory, parseConfig } from '@speedq/model';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommandLine } from '../cli.ts';
import { MODEL_CARD_FILE } from '../quantize/report/model-card.ts';
import { REPORT_FILE } from '../quantize/report/report.ts';
import { releasedConfig } from '../random-model/released-shapes.ts';
import { RECIPES } from '../recipes/recipes.ts';
import { resolveSchemes } from '../recipes/resolve-schemes.ts';
import type { Recipe } from '../recipes/schema.ts';

const pico = fileURLToPath(new URL('../../models/pico', import.meta.url));

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'speedq-predict-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

interface Storage {
  readonly bytes: number;
  readonly fileBytes: number;
  readonly storage: readonly { readonly bytes: number; readonly formulaBytes: number }[];
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}

async function result(...argv: string[]): Promise<Storage> {
  let stdout = '';
  let stderr = '';
  const code = await runCommandLine([...argv, '--json'], {
    stdout: (text) => (stdout += text),
    stderr: (text) => (stderr += text),
    interactive: false,
    colour: false,
  });
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Storage;
}

/** The list of the others, and what people read. */
const BESIDE_THE_MODEL = ['manifest.json', MODEL_CARD_FILE, REPORT_FILE];

/** Recipes that store alike differ in training alone. */
const STORED = [...new Map(Object.values(RECIPES).map((one) => [JSON.stringify(one.schemes), one])).values()];

test.each(STORED.map(({ name }) => name))(
  'recipe %s: plan says what packing the embedded model writes, and inspect finds it',
  async (recipe) => {
    const out = join(scratch, recipe);
    const plan = await result('plan', pico, '--recipe', recipe);
    await result('quantize', pico, '--recipe', recipe, '--method', 'rtn', '--out', out);
    const written = await Promise.all(
      (await readdir(out))
        .filter((name) => !BESIDE_THE_MODEL.includes(name))
        .map(async (name) => ({ name, bytes: (await stat(join(out, name))).size })),
    );
    const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name, 'en');
    expect([...plan.files].sort(byName)).toEqual(written.sort(byName));
    const found = await result('inspect', out);
    expect(found.fileBytes).toBe(plan.fileBytes);
    expect(found.bytes).toBe(plan.bytes);
    expect(found.storage).toEqual(plan.storage);
    for (const { bytes, formulaBytes } of found.storage) expect(bytes).toBe(formulaBytes);
  },
);

describe('the shape of InternVL3-1B', () => {
  const parameters = parameterInventory(parseConfig(releasedConfig({ size: '1b', layout: 'huggingface' })));
  const planned = (recipe: Recipe): PlannedTensor[] => {
    const schemes = resolveSchemes(recipe, parameters);
    return parameters.map(({ name, shape }) => {
      const scheme = schemes.get(name)!;
      const float = elementCount(shape) % 2 === 0 ? FLOAT16 : FLOAT32;
      return { name, shape, scheme: scheme === 'float' ? float : scheme };
    });
  };

  test.each(Object.entries(RECIPES))('recipe %s takes the bits per weight of its schemes', (_, recipe) => {
    const tensors = planned(recipe);
    const { shards } = planShards(tensors);
    const bytes = tensors.reduce((sum, { scheme, shape }) => sum + packedBytes(scheme, shape), 0);
    const byBits = tensors.reduce(
      (sum, { scheme, shape }) => sum + (elementCount(shape) * bitsPerWeight(scheme)) / 8,
      0,
    );
    expect(bytes).toBe(byBits);
    const stored = shards.flatMap(({ entries }) => entries.map(declaredBytes));
    expect(stored.reduce((sum, size) => sum + size, 0)).toBe(bytes);
    for (const shard of shards) expect(shardFileBytes(shard)).toBeLessThanOrEqual(MAX_SHARD_BYTES);
  });

  test('recipe small is written in at most 315 MiB, with room for the tokenizer', async () => {
    const tensors = planned(RECIPES.small);
    const plan = planShards(tensors);
    const empty = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    let total = 0;
    let index = 0;
    for await (const { name, bytes } of writeShards(plan, (tensor) => zeros(empty.get(tensor)!))) {
      const shard = plan.shards[index++];
      expect(name).toBe(shard.file);
      expect(bytes.length).toBe(shardFileBytes(shard));
      total += bytes.length;
    }
    expect(index).toBe(plan.shards.length);
    // tokenizer.json of the released models has 11.4 million bytes.
    expect(total + 12e6).toBeLessThanOrEqual(315 * 2 ** 20);
  });
});

/** A tensor of that size without contents. */
function zeros({ name, scheme, shape }: PlannedTensor): PackedTensor {
  const arrays = storedTensors(name, scheme, shape).map((stored) => {
    const count = elementCount(stored.shape);
    const array = { U32: Uint32Array, F16: Uint16Array, F32: Float32Array }[stored.dtype as string]!;
    return [stored.kind, new array(count)];
  });
  return { scheme, shape, ...Object.fromEntries(arrays) } as PackedTensor;
}
