import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommandLine } from '../../tools/src/cli.ts';
import { openModelFolder } from '../../tools/src/model-folder.ts';
import { loadState } from '../../tools/src/quantize/state-file.ts';
import { tinyRecipe, writeTinyData, writeTinyModel } from './tiny-model.ts';

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-methods-'));
  await writeTinyModel(at('model'));
  await writeTinyData(at('data'), 24);
  await writeFile(at('tiny.json'), JSON.stringify(tinyRecipe));
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

const quantize = (method: string, out: string, ...more: string[]) =>
  run(
    ...['quantize', at('model'), '--recipe', at('tiny.json'), '--data', at('data'), '--out', at(out)],
    ...['--method', method, '--threads', '1', ...more],
  );

async function values(path: string, pattern: RegExp): Promise<Map<string, Float32Array>> {
  const opened = await openModelFolder(path);
  const read = new Map<string, Float32Array>();
  for (const { name } of opened.tensors.parameters) {
    if (pattern.test(name)) read.set(name, await opened.tensors.read(name));
  }
  await opened.close();
  return read;
}

const LINEAR = /(proj|projection_layer|fc\d)\.weight$/;

test.each(['clip', 'gptq', 'awq', 'adaround', 'blockwise'])(
  '%s brings every block nearer to the float one than rounding to nearest, and verifies',
  async (method) => {
    const { code, events, stderr } = await quantize(method, method);
    expect(code, stderr).toBe(0);
    const blocks = events.filter(({ event }) => event === 'block');
    expect(blocks.map(({ block }) => block)).toEqual(
      ['vision', 'language'].flatMap((kind) => [0, 1].map((layer) => `${kind} block ${layer}`)),
    );
    for (const { block, nearest, trained } of blocks) {
      expect(trained as number, block as string).toBeLessThan(nearest as number);
    }
    expect(events.at(-1)).toMatchObject({ event: 'result', method });
    expect((await run('verify', at(method))).code).toBe(0);
  },
  120_000,
);

test('scope language leaves encoder and projector float', async () => {
  const { code, stderr } = await quantize('gptq', 'language', '--scope', 'language');
  expect(code, stderr).toBe(0);
  const original = await values(at('model'), LINEAR);
  for (const [name, packed] of await values(at('language'), LINEAR)) {
    const float = original.get(name)!;
    const distance = packed.reduce((sum, value, i) => sum + Math.abs(value - float[i]), 0);
    const size = float.reduce((sum, value) => sum + Math.abs(value), 0);
    // fp16 keeps eleven bits.
    if (name.startsWith('language_model')) expect(distance / size, name).toBeGreaterThan(0.05);
    else expect(distance / size, name).toBeLessThan(1e-3);
  }
}, 120_000);

test('best goes from learned blocks to the language model with learned scales', async () => {
  const { code, events, stderr } = await quantize('best', 'best');
  expect(code, stderr).toBe(0);
  expect(events.filter(({ event }) => event === 'block').map(({ block }) => block)).toEqual([
    'vision block 0',
    'vision block 1',
    'language block 0',
    'language block 1',
  ]);
  const losses = events.filter(({ event, stage }) => event === 'loss' && stage === 'stage-3');
  expect(losses.at(-1)!.kd as number).toBeLessThan(losses[0].kd as number);
  expect((await run('verify', at('best'))).code).toBe(0);
  const report = await readFile(at('best', 'report.html'), 'utf8');
  for (const part of [
    'Size',
    'Error of each block',
    'Loss by step',
    'KL to the float model',
    'Peak memory',
  ]) {
    expect(report).toContain(part);
  }
  // Self-contained: nothing runs and nothing is fetched.
  expect(report).not.toMatch(/<script|<link|<img|https?:|url\(/);
  expect(report.match(/<svg/g)!.length).toBeGreaterThan(6);
  const card = await readFile(at('best', 'README.md'), 'utf8');
  expect(card).toMatch(
    /^---\nbase_model: "model"\nbase_model_relation: quantized\npipeline_tag: image-text-to-text\n/,
  );
  // What is packed is what was trained: the checkpoint holds the values of the learned codes.
  const trained = await values(at('best', 'checkpoint'), LINEAR);
  for (const [name, packed] of await values(at('best'), LINEAR)) {
    if (name.startsWith('language_model')) expect(packed, name).toEqual(trained.get(name));
  }
}, 120_000);

test('a training that diverges is stopped with a trace, and its checkpoints stay good', async () => {
  const hot = { ...tinyRecipe, stage3: { ...tinyRecipe.stage3, learningRate: 1e12, clipNorm: 0 } };
  await writeFile(at('hot.json'), JSON.stringify(hot));
  const { code, events, stderr } = await run(
    ...['quantize', at('model'), '--recipe', at('hot.json'), '--data', at('data'), '--out', at('hot')],
    ...['--stages', '3', '--threads', '1', '--checkpoint-steps', '1'],
  );
  expect(code, stderr).not.toBe(0);
  expect(events.at(-1)).toMatchObject({ event: 'error', code: 'training-diverged' });
  expect(stderr).toMatch(/It begins in|All layers are finite|Not finite is/);
  expect(events.some(({ event }) => event === 'trace')).toBe(true);
  for (const file of ['stage-3-clipped', 'under-way']) {
    const state = await loadState(at('.hot.work', `${file}.safetensors`));
    for (const [name, saved] of state?.tensors ?? []) {
      expect([...saved].every(Number.isFinite), `${file} ${name}`).toBe(true);
    }
  }
}, 120_000);

test('--reference belongs to speedq', async () => {
  const { code, events } = await quantize('gptq', 'none', '--reference');
  expect(code).toBe(2);
  expect(events.at(-1)).toMatchObject({ code: 'invalid-argument' });
});
