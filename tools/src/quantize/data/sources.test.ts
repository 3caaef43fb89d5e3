import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findSources } from './sources.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-sources-'));
  await writeFile(join(folder, 'a.jsonl'), '');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const meta = (entry: object) => writeFile(join(folder, 'meta.json'), JSON.stringify({ set: entry }));

test('a meta JSON is relative to its own folder; a folder stands for the one in it', async () => {
  await mkdir(join(folder, 'pictures'));
  await meta({
    root: 'pictures',
    annotation: 'a.jsonl',
    repeat_time: 0.5,
    data_augment: true,
    max_dynamic_patch: 6,
  });
  const { sources } = await findSources(folder);
  expect(sources).toEqual([
    {
      name: 'set',
      root: join(folder, 'pictures'),
      annotation: join(folder, 'a.jsonl'),
      ...{ repeat: 0.5, maxTiles: 6, augment: true },
    },
  ]);
});

test.each([
  [{ root: '.', annotation: 'a.json' }, /annotation/],
  [{ root: '.', annotation: 'b.jsonl' }, /b\.jsonl, does not exist/],
  [{ root: '.', annotation: 'a.jsonl', repeat_time: 1.5 }, /repeat_time/],
  [{ root: '.', annotation: 'a.jsonl', repeat_time: 0 }, /repeat_time/],
  [{ root: '.', annotation: 'a.jsonl', max_dynamic_patch: 0 }, /max_dynamic_patch/],
  [{ root: '.', annotation: 'a.jsonl', data_augment: 'yes' }, /data_augment/],
  [{ annotation: 'a.jsonl' }, /"root"/],
])('refuses %j', async (entry, message) => {
  await meta(entry);
  await expect(findSources(join(folder, 'meta.json'))).rejects.toMatchObject({
    code: 'invalid-data',
    message: expect.stringMatching(message) as string,
  });
});

test('a folder with several candidates asks which', async () => {
  await writeFile(join(folder, 'b.jsonl'), '');
  await expect(findSources(folder)).rejects.toThrow(/a\.jsonl, b\.jsonl/);
  await expect(findSources(join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'invalid-data' });
});
