import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { chosenModel } from '../web/src/models.ts';
import { startAppServer } from '../tools/src/app-server.ts';

const PICO = fileURLToPath(new URL('../web/public/models/pico-2bit/', import.meta.url));
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-serve-'));
  await writeFile(join(folder, 'index.html'), '<h1>app</h1>');
  await cp(PICO, join(folder, 'My model (2 bit)'), { recursive: true });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function start(model?: string) {
  const server = await startAppServer({ appFolder: folder, port: 18_300, model });
  onTestFinished(() => server.close());
  return new URL(server.address);
}

test('the page chooses the model that was given, and finds its files', async () => {
  const page = await start(join(folder, 'My model (2 bit)'));
  const { address, label } = chosenModel(page.search);
  expect(label).toBe('My-model-2-bit-');
  const manifest = await fetch(new URL(`${address}manifest.json`, page));
  expect(manifest.status).toBe(200);
  const { files } = (await manifest.json()) as { files: { name: string; bytes: number }[] };
  expect(files.length).toBeGreaterThan(0);
  for (const { name, bytes } of files) {
    const response = await fetch(new URL(address + name, page), { method: 'HEAD' });
    expect(response.headers.get('content-length'), name).toBe(String(bytes));
  }
});

test('without a model the page chooses its own', async () => {
  const page = await start();
  expect(page.search).toBe('');
  expect(await (await fetch(page)).text()).toBe('<h1>app</h1>');
});

test('a float model and an unbuilt app are refused before anything listens', async () => {
  const float = fileURLToPath(new URL('../tools/models/pico/', import.meta.url));
  await expect(start(float)).rejects.toMatchObject({ name: 'SpeedqError' });
  const unbuilt = startAppServer({ appFolder: join(folder, 'none'), port: 18_300 });
  await expect(unbuilt).rejects.toThrow(/npm run build/);
});
