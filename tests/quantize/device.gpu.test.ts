import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasWebgpuProvider } from '@speedq/onnx';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Event } from './run-speedq.ts';
import { runSpeedq } from './run-speedq.ts';
import { tinyRecipe, writeTinyData, writeTinyModel } from './tiny-model.ts';

/** Where a GPU is required, its absence must fail, not skip. */
const required = process.env.REQUIRE_GPU === '1';
const STEPS = 5;

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-device-'));
  await writeTinyModel(at('model'));
  await writeTinyData(at('data'), 8);
  const stage3 = { ...tinyRecipe.stage3, steps: STEPS, batchSize: 2, gammaBatches: 1, clipSearchTokens: 0 };
  const stage2 = { ...tinyRecipe.stage2, objective: 'cross-entropy', steps: 2, batchSize: 2 };
  await writeFile(at('short.json'), JSON.stringify({ ...tinyRecipe, stage2, stage3 }));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const command = (out: string, device: string) => [
  ...['quantize', at('model'), '--recipe', at('short.json'), '--data', at('data'), '--out', at(out)],
  ...['--stages', '2,3', '--threads', '1', '--checkpoint-steps', '1', '--device', device],
];

const losses = (events: readonly Event[]) =>
  events.filter(({ event }) => event === 'loss').map(({ stage, step, total }) => ({ stage, step, total }));

describe.skipIf(!required && !(await hasWebgpuProvider(ort)))('quantize --device webgpu', () => {
  test('trains as on the CPU, and goes on where it was interrupted', async () => {
    const cpu = await runSpeedq(command('cpu', 'cpu'));
    expect(cpu.code, cpu.stderr).toBe(0);
    const expected = losses(cpu.events);
    expect(expected.map(({ stage }) => stage)).toEqual([
      ...new Array<string>(2).fill('stage-2'),
      ...new Array<string>(STEPS).fill('stage-3'),
    ]);

    const first = await runSpeedq(command('webgpu', 'webgpu'), (event, kill) => {
      if (event.event === 'loss' && event.stage === 'stage-3' && event.step === 1) kill('SIGINT');
    });
    expect(first.code, first.stderr).toBe(130);
    const refused = await runSpeedq(command('webgpu', 'cpu'));
    expect(refused.stderr).toMatch(/device \(was "webgpu", is "cpu"\)/);
    const second = await runSpeedq(command('webgpu', 'webgpu'));
    expect(second.code, second.stderr).toBe(0);
    const found = [...losses(first.events), ...losses(second.events)];
    expect(found.map(({ stage, step }) => [stage, step])).toEqual(
      expected.map(({ stage, step }) => [stage, step]),
    );
    for (const [i, { total }] of found.entries()) {
      expect(Math.abs((total as number) - (expected[i].total as number)), `loss ${i}`).toBeLessThan(1e-3);
    }
  });
});

test('a provider that is not there is said to be missing, and what to do', async () => {
  const run = await runSpeedq(command('cuda', 'cuda'));
  expect(run.code).toBe(3);
  expect(run.stderr).toMatch(/runs nothing on cuda here.*--device webgpu or --device cpu/s);
  const error = run.events.find(({ event }) => event === 'error');
  expect(error).toMatchObject({ code: 'unsupported' });
});
