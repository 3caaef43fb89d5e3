import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRandom } from '../../tools/src/data/random.ts';
import type { Event } from './run-speedq.ts';
import { runSpeedq } from './run-speedq.ts';
import { tinyRecipe, writeTinyData, writeTinyModel } from './tiny-model.ts';

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-resume-'));
  await writeTinyModel(at('model'));
  await writeTinyData(at('data'));
  await writeFile(at('tiny.json'), JSON.stringify(tinyRecipe));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const command = (out: string, ...more: string[]) => commandOf('tiny.json', out, ...more);
const commandOf = (recipe: string, out: string, ...more: string[]) => [
  ...['quantize', at('model'), '--recipe', at(recipe), '--data', at('data'), '--out', out],
  ...['--seed', '3', '--checkpoint-steps', '1', ...more],
];

async function fileContents(root: string): Promise<Map<string, Buffer>> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = new Map<string, Buffer>();
  for (const entry of entries.filter((item) => item.isFile())) {
    const path = join(entry.parentPath, entry.name);
    files.set(relative(root, path), await readFile(path));
  }
  return files;
}

/** Sends the process a signal, once, so many milliseconds after the first checkpoint of `piece`. */
const signalAfter = (piece: string, delay: number, signal: NodeJS.Signals) => {
  let armed = true;
  return (event: Event, kill: (signal: NodeJS.Signals) => void) => {
    if (!armed || event.event !== 'checkpoint' || event.piece !== piece) return;
    armed = false;
    setTimeout(() => kill(signal), delay);
  };
};

test('a run killed at two random points and resumed gives the bytes of an undisturbed one', async () => {
  const seed = Number(process.env.SPEEDQ_TEST_SEED ?? Date.now() % 1_000_000);
  const random = createRandom(seed);
  const early = {
    piece: random.pick(['data', 'adaround-vision-block-0', 'adaround-vision-block-1', 'stage-2']),
    delay: random.int(60),
  };
  const late = { piece: random.pick(['stage-3-clipped', 'stage-3']), delay: random.int(20) };
  console.log(
    `SPEEDQ_TEST_SEED=${seed}: killed in ${early.piece} + ${early.delay} ms, ${late.piece} + ${late.delay} ms`,
  );

  const whole = await runSpeedq(command(at('whole', 'out')));
  expect(whole.code, whole.stderr).toBe(0);

  const first = await runSpeedq(
    command(at('killed', 'out')),
    signalAfter(early.piece, early.delay, 'SIGKILL'),
  );
  expect(first.signal, first.stderr).toBe('SIGKILL');
  const second = await runSpeedq(
    command(at('killed', 'out')),
    signalAfter(late.piece, late.delay, 'SIGKILL'),
  );
  expect(second.signal, second.stderr).toBe('SIGKILL');
  expect(second.stderr).toContain('Resuming');
  expect(await readdir(at('killed'))).toEqual(['.out.work']);

  const third = await runSpeedq(command(at('killed', 'out')));
  expect(third.code, third.stderr).toBe(0);
  expect(await readdir(at('killed'))).toEqual(['out']);
  const expected = await fileContents(at('whole', 'out'));
  const found = await fileContents(at('killed', 'out'));
  // Time and memory differ between runs, and the report tells them.
  expect(expected.delete('report.html') && found.delete('report.html')).toBe(true);
  expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
  expect(expected.size).toBeGreaterThan(8);
  for (const [name, bytes] of expected) expect(found.get(name)!.equals(bytes), name).toBe(true);
}, 240_000);

test('SIGTERM saves a checkpoint and exits with 130; another recipe does not resume it', async () => {
  const out = at('stopped', 'out');
  const stopped = await runSpeedq(command(out), signalAfter('adaround-vision-block-0', 0, 'SIGTERM'));
  expect(stopped.code, stopped.stderr).toBe(130);
  expect(stopped.events.at(-1)).toMatchObject({ event: 'error', code: 'aborted' });
  expect(await readdir(at('stopped', '.out.work'))).toContain('under-way.safetensors');

  const other = await runSpeedq(command(out, '--stages', '1,2'));
  expect(other.code).toBe(2);
  expect(other.events.at(-1)).toMatchObject({ event: 'error', code: 'resume-mismatch' });
  expect(other.stderr).toContain('stages (was [1,2,3], is [1,2])');
}, 120_000);

test('packed training, interrupted and resumed, gives the bytes of an undisturbed one', async () => {
  const stage3 = { ...tinyRecipe.stage3, steps: 8, batchSize: 8, packing: 96, clipSearchTokens: 0 };
  await writeFile(at('packed.json'), JSON.stringify({ ...tinyRecipe, stage3 }));
  const packed = (out: string) => commandOf('packed.json', out, '--stages', '3', '--threads', '1');
  const whole = await runSpeedq(packed(at('packed', 'out')));
  expect(whole.code, whole.stderr).toBe(0);

  const stopped = await runSpeedq(packed(at('halved', 'out')), signalAfter('stage-3', 0, 'SIGTERM'));
  expect(stopped.code, stopped.stderr).toBe(130);
  const resumed = await runSpeedq(packed(at('halved', 'out')));
  expect(resumed.code, resumed.stderr).toBe(0);
  const [expected, found] = [
    await fileContents(at('packed', 'out')),
    await fileContents(at('halved', 'out')),
  ];
  expect(expected.delete('report.html') && found.delete('report.html')).toBe(true);
  for (const [name, bytes] of expected) expect(found.get(name)!.equals(bytes), name).toBe(true);
}, 240_000);
