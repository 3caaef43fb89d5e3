import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ParameterStore } from './parameter-store.ts';

let folder: string;
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'speedq-parameters-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

const values = (seed: number, length = 100) =>
  new Float32Array(length).map((_, i) => Math.sin(seed * 1e3 + i));

test('gives back what was set, however little fits into memory', () => {
  const store = new ParameterStore({ folder, memoryBytes: 1000 });
  const expected = new Map(Array.from({ length: 20 }, (_, i) => [`p${i}`, values(i, 50 + 10 * i)]));
  for (const [name, array] of expected) store.set(name, array.slice());
  for (const round of [0, 1]) {
    for (let i = 19; i >= 0; i--) {
      // Some are set anew after they were written out, of another size too.
      if (round === 1 && i % 3 === 0) {
        expected.set(`p${i}`, values(100 + i, 40 + i));
        store.set(`p${i}`, expected.get(`p${i}`)!.slice());
      }
      expect(store.get(`p${i}`), `p${i}`).toEqual(expected.get(`p${i}`));
    }
  }
  for (const [name, array] of expected) expect(store.get(name), name).toEqual(array);
  store.close();
});

test('what fits stays the same array and leaves no file', async () => {
  const store = new ParameterStore({ folder });
  const array = values(1);
  store.set('p', array);
  expect(store.get('p')).toBe(array);
  expect(await readdir(folder)).toEqual([]);
});

test('held values are seen as they change, beyond what memory is given', () => {
  const store = new ParameterStore({ folder, memoryBytes: 100 });
  const trained = values(1);
  store.hold('p', trained);
  store.set('q', values(2));
  store.set('r', values(3));
  trained[7] = 42;
  expect(store.get('p')![7]).toBe(42);
  store.close();
});

test('what is not set, or deleted, is the base’s', () => {
  const base = new Map([['p', values(1)]]);
  const store = new ParameterStore({ folder, base });
  expect(store.get('p')).toBe(base.get('p'));
  store.set('p', values(2));
  expect(store.get('p')).toEqual(values(2));
  expect([...store.keys()]).toEqual(['p']);
  store.delete('p');
  expect(store.get('p')).toBe(base.get('p'));
  expect(store.get('q')).toBeUndefined();
});
