/** A model on a server that wants a key: only the page's own `fetch` has it, the engine's worker asks the page. */
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { build } from 'vite';
import { openBrowser } from './support/browser.ts';
import type { TestBrowser } from './support/browser.ts';
import { dist, modelFolder } from './support/server.ts';

const PAGE = `<!doctype html><html lang="en"><title>waiting</title><script type="module">
import { LanguageModel } from '/runtime.js';
const options = { model: '/private/', createWorker: () => new Worker('/worker.js', { type: 'module' }) };
const withKey = (url, { headers, ...init }) =>
  fetch(url, { ...init, headers: [...new Headers(headers), ['x-key', 'open sesame']] });
const ask = async (more) => {
  try {
    const session = await LanguageModel.create({ ...options, ...more });
    return await session.prompt('What can you do?');
  } catch (error) {
    return error.code;
  }
};
document.title = JSON.stringify([await ask({}), await ask({ fetch: withKey })]);
</script></html>`;

let browser: TestBrowser;
let server: Server;
let url: string;

beforeAll(async () => {
  const built = await build({
    configFile: false,
    logLevel: 'silent',
    build: {
      write: false,
      lib: {
        entry: fileURLToPath(new URL('../../packages/runtime/src/index.ts', import.meta.url)),
        formats: ['es'],
        fileName: 'runtime',
      },
    },
  });
  const [bundle] = [built].flat();
  if (!('output' in bundle)) throw new Error('Vite gave a watcher instead of a bundle');
  const assets = join(dist, 'assets');
  const worker = (await readdir(assets)).find((file) => /^worker-.*\.js$/.test(file))!;
  const scripts = new Map([['/worker.js', await readFile(join(assets, worker), 'utf8')]]);
  for (const chunk of bundle.output) if ('code' in chunk) scripts.set(`/${chunk.fileName}`, chunk.code);
  server = createServer((request, response) => {
    const path = request.url ?? '/';
    const script = scripts.get(path);
    if (script !== undefined) return response.setHeader('content-type', 'text/javascript').end(script);
    if (!path.startsWith('/private/')) return response.setHeader('content-type', 'text/html').end(PAGE);
    if (request.headers['x-key'] !== 'open sesame') return response.writeHead(401).end();
    readFile(join(modelFolder, path.slice('/private/'.length))).then(
      (bytes) => response.end(bytes),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://localhost:${(server.address() as AddressInfo).port}/`;
  browser = await openBrowser();
});

afterAll(async () => {
  await browser?.close();
  server?.close();
});

it('the page fetches what its worker needs', async () => {
  const page = await browser.context.newPage();
  await page.goto(url);
  await expect.poll(() => page.title(), { timeout: 300_000 }).not.toBe('waiting');
  const [without, withKey] = JSON.parse(await page.title()) as string[];
  expect(without).toBe('network');
  expect(withKey).toMatch(/^I can name/);
});
