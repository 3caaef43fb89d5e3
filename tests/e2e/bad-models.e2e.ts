import { cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBrowser } from './support/browser.ts';
import type { TestBrowser } from './support/browser.ts';
import { ChatPage } from './support/chat-page.ts';
import { modelFolder, serveWithModels } from './support/server.ts';

const SHARD = 'model-00001-of-00001.safetensors';

describe('a damaged model', () => {
  let folder: string;
  let server: Awaited<ReturnType<typeof serveWithModels>>;
  let browser: TestBrowser;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'speedq-models-'));
    const copy = async (name: string): Promise<string> => {
      await cp(modelFolder, join(folder, name), { recursive: true });
      return join(folder, name);
    };
    const altered = join(await copy('altered'), SHARD);
    const bytes = await readFile(altered);
    bytes[bytes.length >> 1] ^= 1;
    await writeFile(altered, bytes);
    const truncated = join(await copy('truncated'), SHARD);
    await truncate(truncated, bytes.length - 1000);
    const manifest = join(await copy('garbled'), 'manifest.json');
    await writeFile(manifest, (await readFile(manifest, 'utf8')).replace('"version": 1', '"version": 7'));
    server = await serveWithModels({
      altered: join(folder, 'altered'),
      truncated: join(folder, 'truncated'),
      garbled: join(folder, 'garbled'),
    });
    browser = await openBrowser();
  });

  afterAll(async () => {
    await browser?.close();
    server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it.each([
    ['altered', 'checksum-mismatch', new RegExp(`${SHARD}: expected SHA-256 \\w+, got \\w+`)],
    ['truncated', 'file-truncated', new RegExp(`${SHARD} has the wrong size: expected \\d+ bytes, got \\d+`)],
    ['garbled', 'invalid-manifest', /version 7 is not supported/],
    ['absent', 'network', /manifest\.json: the server answered 404/],
  ])('%s: the page says %s and what to do', async (model, code, message) => {
    const page = await browser.context.newPage();
    await page.goto(`${server.url}?model=${model}`);
    const chat = new ChatPage(page);
    await chat.download();
    const alert = chat.alert();
    await alert.waitFor({ timeout: 60_000 });
    const text = await alert.innerText();
    expect(text).toContain('The model could not be opened');
    expect(text).toContain(code);
    expect(text).toMatch(message);
    await expect(page.getByRole('button', { name: 'Try again' }).isEnabled()).resolves.toBe(true);
    await page.close();
  });
});
