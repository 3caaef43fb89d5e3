import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBrowser } from './support/browser.ts';
import type { TestBrowser } from './support/browser.ts';
import { ChatPage } from './support/chat-page.ts';
import { startAppServer } from './support/server.ts';
import type { AppServer } from './support/server.ts';

const farm = fileURLToPath(new URL('../../web/public/samples/farm.png', import.meta.url));
const isEngine = (url: string): boolean => /\/assets\/wasm-engine-[^/]*\.js$/.test(url);

/** A browser without WebGPU: the app chats by WebAssembly, the second time without a server. */
describe('the chat page without WebGPU', () => {
  let server: AppServer;
  let browser: TestBrowser;
  const requested: string[] = [];
  const violations: string[] = [];

  beforeAll(async () => {
    server = await startAppServer();
    browser = await openBrowser({ webgpu: false });
    browser.context.on('request', (request) => requested.push(request.url()));
  });

  afterAll(async () => {
    await browser?.close();
    await server?.kill();
  });

  async function open(): Promise<ChatPage> {
    const page = await browser.context.newPage();
    page.on('console', (message) => {
      if (/Content Security Policy|TrustedScript/.test(message.text())) violations.push(message.text());
    });
    await page.goto(server.url);
    return new ChatPage(page);
  }

  it('offers the model, fetches the engine only then, says what computes, and answers about a picture', async () => {
    const chat = await open();
    const adapter = await chat.page.evaluate(async () => (await navigator.gpu?.requestAdapter()) ?? null);
    expect(adapter).toBeNull();
    await chat.page.getByRole('button', { name: /^Download (.* )?and begin$/ }).waitFor();
    expect(requested.filter(isEngine)).toEqual([]);
    await chat.download();
    await chat.ready();
    expect(requested.some(isEngine)).toBe(true);
    await chat.page.getByText('the processor computes').waitFor();
    await chat.choosePicture(farm);
    expect(await chat.ask('Is there a pig?')).toMatch(/yes/i);
    await chat.page.waitForFunction(async () => {
      for (const name of await caches.keys()) {
        const kept = await (await caches.open(name)).keys();
        if (kept.some(({ url }) => url.includes('/wasm-engine-'))) return true;
      }
      return false;
    });
    await chat.page.close();
  });

  it('answers the same without a server', async () => {
    await server.kill();
    const chat = await open();
    await chat.ready();
    await chat.choosePicture(farm);
    expect(await chat.ask('Is there a pig?')).toMatch(/yes/i);
    expect(violations).toEqual([]);
    expect(browser.foreignHosts).toEqual([]);
  });
});
