import { appendFile, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadState } from '../../tools/src/quantize/state-file.ts';
import type { Event } from './run-speedq.ts';
import { runSpeedq } from './run-speedq.ts';
import { tinyRecipe, writeTinyData, writeTinyModel } from './tiny-model.ts';

/** What can go wrong while nobody looks: tests/quantize/resume.test.ts has kills and signals. */

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-faults-'));
  await writeTinyModel(at('model'));
  await writeTinyData(at('data'));
  await writeFile(at('tiny.json'), JSON.stringify(tinyRecipe));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const command = (out: string, more = ['--recipe', at('tiny.json'), '--stages', '3']) => [
  ...['quantize', at('model'), '--data', at('data'), '--out', at(out), '--threads', '1'],
  ...['--checkpoint-steps', '1', ...more],
];
/** SIGTERM, once, at the first event that fits. */
const stopAt = (wanted: Readonly<Record<string, unknown>>) => {
  let armed = true;
  return (event: Event, kill: (signal: NodeJS.Signals) => void) => {
    if (!armed || !Object.entries(wanted).every(([field, value]) => event[field] === value)) return;
    armed = false;
    kill('SIGTERM');
  };
};
const stage3Begins = { event: 'checkpoint', piece: 'stage-3-clipped' };

test.runIf(process.platform === 'linux')(
  'a disk that fills up under a checkpoint ends the run with the checkpoint before it, which resumes',
  async () => {
    const stopped = await runSpeedq(command('full'), stopAt(stage3Begins));
    expect(stopped.code, stopped.stderr).toBe(130);
    const checkpoint = await readFile(at('.full.work', 'under-way.safetensors'));

    const script = new URL('./full-disk.mjs', import.meta.url).pathname;
    const failed = await runSpeedq(command('full'), stopAt({ event: 'loss', stage: 'stage-3' }), {
      ...{ NODE_OPTIONS: `--import ${script}`, SPEEDQ_FULL_DISK: 'under-way:20000' },
    });
    expect(failed.code, failed.stderr).toBe(4);
    expect(failed.events.at(-1)).toMatchObject({ event: 'error', code: 'out-of-space' });
    expect(failed.stderr).toMatch(/under-way\.safetensors.*checkpoint before it is kept.*the same command/s);
    // Nothing half-written takes up what room there is.
    expect((await readdir(at('.full.work'))).filter((name) => name.endsWith('.partial'))).toEqual([]);
    expect((await readFile(at('.full.work', 'under-way.safetensors'))).equals(checkpoint)).toBe(true);

    const again = await runSpeedq(command('full'));
    expect(again.code, again.stderr).toBe(0);
    expect(again.stderr).toContain('Resuming');
  },
  240_000,
);

test('changed conversations or pictures do not resume a run', async () => {
  const stopped = await runSpeedq(command('changed'), stopAt(stage3Begins));
  expect(stopped.code, stopped.stderr).toBe(130);

  const lines = await readFile(at('data', 'data.jsonl'), 'utf8');
  await appendFile(at('data', 'data.jsonl'), lines.slice(0, lines.indexOf('\n') + 1));
  const otherLines = await runSpeedq(command('changed'));
  expect(otherLines.code).toBe(2);
  expect(otherLines.events.at(-1)).toMatchObject({ event: 'error', code: 'resume-mismatch' });
  expect(otherLines.stderr).toContain('the files of data');
  await writeFile(at('data', 'data.jsonl'), lines);

  const before = await readFile(at('data', '3.png'));
  const grey = { create: { width: 56, height: 56, channels: 3 as const, background: '#888' } };
  await sharp(grey).png().toFile(at('data', '3.png'));
  const otherPicture = await runSpeedq(command('changed'));
  expect(otherPicture.code).toBe(2);
  expect(otherPicture.events.at(-1)).toMatchObject({ event: 'error', code: 'resume-mismatch' });
  expect(otherPicture.stderr).toContain('pictures');
  await writeFile(at('data', '3.png'), before);

  const again = await runSpeedq(command('changed'));
  expect(again.code, again.stderr).toBe(0);
}, 240_000);

test('a block whose training diverges is named, and no checkpoint of it holds what is not a number', async () => {
  const blockwise = { iterations: 20, batchSize: 4, learningRate: 1e36, scaleLearningRate: 1e36 };
  await writeFile(at('hot.json'), JSON.stringify({ ...tinyRecipe, blockwise }));
  const hot = ['--recipe', at('hot.json'), '--method', 'blockwise', '--scope', 'language'];
  const failed = await runSpeedq(command('hot', hot));
  expect(failed.code).not.toBe(0);
  expect(failed.events.at(-1)).toMatchObject({ event: 'error', code: 'training-diverged' });
  expect(failed.stderr).toMatch(/blockwise-language-block-0, iteration \d+/);
  const state = await loadState(at('.hot.work', 'under-way.safetensors'));
  for (const [name, saved] of state?.tensors ?? []) {
    expect([...saved].every(Number.isFinite), name).toBe(true);
  }
}, 120_000);
