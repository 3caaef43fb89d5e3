import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Checkpoints, requireFinite } from './checkpoints.ts';
import { createReporter } from './reporter.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-checkpoints-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const stop = () => new SharedArrayBuffer(4);
const values = Float32Array.of(1, -0, Number.MIN_VALUE, 3e38);
const state = () => ({ metadata: { note: 'x' }, tensors: new Map([['values', values]]) });

test('keeps what is under way until the piece is finished', async () => {
  const checkpoints = new Checkpoints(
    folder,
    2,
    createReporter(() => {}, stop()),
  );
  await checkpoints.step('a', 1, state);
  expect(await checkpoints.underWay('a')).toBeUndefined();
  await checkpoints.step('a', 2, state);
  const found = await checkpoints.underWay('a');
  expect(found!.step).toBe(2);
  expect(found!.state.metadata.note).toBe('x');
  expect(new Uint8Array(found!.state.tensors.get('values')!.buffer)).toEqual(new Uint8Array(values.buffer));
  expect(await checkpoints.underWay('b')).toBeUndefined();
  await checkpoints.finish('a', state());
  expect(await checkpoints.underWay('a')).toBeUndefined();
  expect((await checkpoints.finished('a'))!.tensors.get('values')).toEqual(values);
  expect(await readdir(folder)).toEqual(['a.safetensors']);
});

test('a request to stop saves at once and throws', async () => {
  const flag = stop();
  const checkpoints = new Checkpoints(
    folder,
    1000,
    createReporter(() => {}, flag),
  );
  await checkpoints.step('a', 1, state);
  new Int32Array(flag)[0] = 1;
  await expect(checkpoints.step('a', 7, state)).rejects.toMatchObject({ code: 'aborted' });
  expect((await checkpoints.underWay('a'))!.step).toBe(7);
});

test('a loss that is no number is an error', () => {
  expect(() => requireFinite(1, 'stage 3')).not.toThrow();
  expect(() => requireFinite(NaN, 'stage 3, step 4')).toThrow(/stage 3, step 4.*NaN/);
});
