import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RECIPES } from '../recipes/recipes.ts';
import { openWorkFolder, workFolder } from './work-folder.ts';

const RUN = {
  model: 'aa',
  data: 'bb',
  method: 'speedq',
  recipe: RECIPES.quick,
  stages: [1, 2, 3] as const,
  device: 'cpu' as const,
  seed: 0,
  version: 1,
};
const OPTIONS = { defaultThreads: 2, force: false };

let work: string;
beforeEach(async () => {
  work = workFolder(join(await mkdtemp(join(tmpdir(), 'speedq-work-')), 'out'));
});
afterEach(() => rm(join(work, '..'), { recursive: true, force: true }));

test('a second run resumes with the threads of the first', async () => {
  const first = await openWorkFolder(work, RUN, OPTIONS);
  expect(first).toMatchObject({ resumes: false, threads: 2 });
  await first.release();
  const second = await openWorkFolder(work, RUN, { ...OPTIONS, defaultThreads: 8 });
  expect(second).toMatchObject({ resumes: true, threads: 2 });
  await second.release();
  await expect(openWorkFolder(work, RUN, { ...OPTIONS, threads: 8 })).rejects.toMatchObject({
    code: 'resume-mismatch',
    message: expect.stringContaining('threads (was 2, is 8)') as string,
  });
});

test('force discards a run of another kind', async () => {
  await (await openWorkFolder(work, RUN, OPTIONS)).release();
  await writeFile(join(work, 'stage-2.safetensors'), 'old');
  const anew = await openWorkFolder(work, { ...RUN, seed: 5 }, { ...OPTIONS, force: true });
  expect(anew.resumes).toBe(false);
  expect(await readdir(work)).not.toContain('stage-2.safetensors');
  await anew.release();
});

test('two processes do not share a folder; a dead one lets go', async () => {
  const opened = await openWorkFolder(work, RUN, OPTIONS);
  // Process 1 is always alive.
  await writeFile(join(work, 'lock'), '1');
  await expect(openWorkFolder(work, RUN, OPTIONS)).rejects.toMatchObject({ code: 'output-exists' });
  await writeFile(join(work, 'lock'), '4194999');
  await (await openWorkFolder(work, RUN, OPTIONS)).release();
  await opened.release();
});
