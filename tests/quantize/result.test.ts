import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  dequantizeSymmetric,
  fakeQuantizeBilevel,
  quantizeSymmetric,
  roundToHalf,
  unpackToFloat,
} from '@speedq/format';
import type { BilevelScheme } from '@speedq/format';
import { OnnxModel } from '@speedq/onnx';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommandLine } from '../../tools/src/cli.ts';
import { openModelFolder, requirePacked } from '../../tools/src/model-folder.ts';
import { tinyRecipe, writeTinyData, writeTinyModel } from './tiny-model.ts';

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-quantize-'));
  await writeTinyModel(at('model'));
  await writeTinyData(at('data'), 16);
  const short = { ...tinyRecipe, stage3: { ...tinyRecipe.stage3, steps: 12 } };
  await writeFile(at('short.json'), JSON.stringify(short));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function run(...args: string[]) {
  const lines: string[] = [];
  const errors: string[] = [];
  const code = await runCommandLine([...args, '--json'], {
    stdout: (text) => void lines.push(...text.trim().split('\n')),
    stderr: (text) => void errors.push(text),
    interactive: false,
    colour: false,
  });
  const events = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { code, events, stderr: errors.join('') };
}

async function readAll(path: string): Promise<Map<string, Float32Array>> {
  const opened = await openModelFolder(path);
  const values = new Map<string, Float32Array>();
  for (const { name } of opened.tensors.parameters) values.set(name, await opened.tensors.read(name));
  await opened.close();
  return values;
}

/** Without the difference of whole tables, which takes minutes to print. */
function expectSame(found: Float32Array, expected: Float32Array, name: string): void {
  expect(found.length, name).toBe(expected.length);
  const different = found.findIndex((value, i) => value !== expected[i]);
  expect(different, name).toBe(-1);
}

test('what was trained is what is packed, and it verifies', async () => {
  const out = at('out');
  const { code, events, stderr } = await run(
    ...[
      'quantize',
      at('model'),
      '--recipe',
      at('short.json'),
      '--data',
      at('data', 'data.jsonl'),
      '--out',
      out,
    ],
  );
  expect(code, stderr).toBe(0);
  expect(events.at(-1)).toMatchObject({ event: 'result', out, method: 'speedq', stages: [1, 2, 3] });
  expect(events.filter(({ event }) => event === 'block')).toHaveLength(2);
  expect((await run('verify', out)).code).toBe(0);

  const packed = requirePacked(await openModelFolder(out));
  const trained = await readAll(join(out, 'checkpoint'));
  const original = await readAll(at('model'));
  let [changed, tables] = [0, 0];
  for (const { name, shape, part } of packed.tensors.parameters) {
    const tensor = await packed.weights.readPacked(name);
    const values = unpackToFloat(tensor);
    const latent = trained.get(name)!;
    const [rows, columns] = shape;
    if (tensor.scheme.kind === 'float') {
      expectSame(values, latent.map(roundToHalf), name);
    } else if (part === 'language') {
      const scheme = tensor.scheme as BilevelScheme;
      expectSame(values, fakeQuantizeBilevel(latent, rows, columns, scheme).values, name);
    } else {
      expectSame(values, latent, name);
    }
    // Tables are the original's, rounded once.
    if (tensor.scheme.kind === 'symmetric') {
      const { scheme } = tensor;
      const once = dequantizeSymmetric(quantizeSymmetric(original.get(name)!, rows, columns, scheme));
      expectSame(values, once, name);
      tables++;
    }
    if (!latent.every((value, i) => value === original.get(name)![i])) changed++;
  }
  await packed.close();
  expect(changed).toBeGreaterThan(40);
  expect(tables).toBe(2);

  const again = await run('quantize', at('model'), '--data', at('data'), '--out', out);
  expect(again.code).toBe(2);
  expect(again.events.at(-1)).toMatchObject({ code: 'output-exists' });
}, 120_000);

test('rtn packs without data, and stages can be left out', async () => {
  const rtn = await run('quantize', at('model'), '--recipe', 'quick', '--method', 'rtn', '--out', at('rtn'));
  expect(rtn.code, rtn.stderr).toBe(0);
  const one = await run(
    ...['quantize', at('model'), '--recipe', at('short.json'), '--data', at('data'), '--out', at('one')],
    ...['--stages', '1'],
  );
  expect(one.code, one.stderr).toBe(0);
  const [plain, rounded] = [await readAll(at('rtn')), await readAll(at('one'))];
  for (const [name, values] of plain) {
    const isVisionLinear = /encoder.*(proj|projection_layer|fc\d)\.weight$/.test(name);
    expect(
      values.every((value, i) => value === rounded.get(name)![i]),
      name,
    ).toBe(!isVisionLinear);
  }
  // Both are models that answer.
  const { config } = await openModelFolder(at('one'));
  const model = await OnnxModel.create(ort, config, rounded, { threads: 1 });
  expect((await model.forward([1, 2, 3])).every(Number.isFinite)).toBe(true);
  await model.release();
}, 120_000);

test('the reference arithmetic and order run end to end', async () => {
  const { code, events, stderr } = await run(
    ...[
      'quantize',
      at('model'),
      '--recipe',
      at('short.json'),
      '--data',
      at('data'),
      '--out',
      at('reference'),
    ],
    '--reference',
  );
  expect(code, stderr).toBe(0);
  expect(events.at(-1)).toMatchObject({ event: 'result', method: 'speedq' });
  expect((await run('verify', at('reference'))).code).toBe(0);
}, 120_000);

test('missing data is a usage error', async () => {
  const { code, events } = await run('quantize', at('model'), '--out', at('none'));
  expect(code).toBe(2);
  expect(events.at(-1)).toMatchObject({ code: 'invalid-argument' });
});

test('micro-batches add up to the batch', async () => {
  const steps = async (microBatch: number) => {
    const recipe = { ...tinyRecipe, stage3: { steps: 3, batchSize: 6, microBatch, gammaBatches: 1 } };
    await writeFile(at(`micro-${microBatch}.json`), JSON.stringify(recipe));
    const { code, events, stderr } = await run(
      ...['quantize', at('model'), '--recipe', at(`micro-${microBatch}.json`), '--data', at('data')],
      ...['--out', at(`micro-${microBatch}`), '--stages', '3', '--threads', '1'],
    );
    expect(code, stderr).toBe(0);
    return events.filter(({ event }) => event === 'loss') as unknown as Record<string, number>[];
  };
  const whole = await steps(6);
  // Of unequal size, and their answers of unequal length.
  const parts = await steps(4);
  expect(whole).toHaveLength(3);
  whole.forEach((expected, step) => {
    for (const name of ['total', 'kd', 'norm']) {
      expect(Math.abs(parts[step][name] / expected[name] - 1), `${name}, step ${step}`).toBeLessThan(1e-4);
    }
  });
}, 120_000);

test.each([true, false])(
  'the search for clipping ranges takes q and k too, fixed: %s',
  async (fixed) => {
    const name = `clipped-${fixed}`;
    // Nothing but the search moves a weight.
    const stage3 = { steps: 1, batchSize: 2, gammaBatches: 1, clipSearchTokens: 64, learningRate: 1e-30 };
    const recipe = { ...tinyRecipe, stage3, fixes: { searchTrainedQuantizer: fixed } };
    await writeFile(at(`${name}.json`), JSON.stringify(recipe));
    const { code, stderr } = await run(
      ...['quantize', at('model'), '--recipe', at(`${name}.json`), '--data', at('data')],
      ...['--out', at(name), '--stages', '3', '--threads', '1'],
    );
    expect(code, stderr).toBe(0);
    const [original, searched] = [await readAll(at('model')), await readAll(join(at(name), 'checkpoint'))];
    const moved = (projection: string) =>
      [...original].filter(
        ([key, values]) =>
          key.startsWith('language_model.') &&
          key.endsWith(`.${projection}.weight`) &&
          values.some((value, i) => value !== searched.get(key)![i]),
      ).length;
    // Two layers have one each.
    for (const projection of ['v_proj', 'o_proj', 'down_proj']) expect(moved(projection), projection).toBe(2);
    for (const projection of ['q_proj', 'k_proj']) expect(moved(projection), projection).toBe(fixed ? 2 : 0);
  },
  120_000,
);
