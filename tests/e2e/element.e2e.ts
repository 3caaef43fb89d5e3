/** <speedq-chat> as it is published (`npm run build:packages`), from a script tag, without a model: that is chat.e2e.ts's. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { axeViolations } from './support/axe.ts';
import { openBrowser } from './support/browser.ts';
import type { TestBrowser } from './support/browser.ts';
import { echoEngineScript } from './support/echo-app.ts';
import { atEverySize } from './support/screenshots.ts';
import { servePages } from './support/pages.ts';
import type { PageServer } from './support/pages.ts';

const standalone = fileURLToPath(new URL('../../packages/element/dist/standalone/', import.meta.url));

const PAGE = `<!doctype html><html lang="en"><head><title>Host</title>
<meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="/page.css">
<script type="module" src="/speedq/speedq-chat.js"></script></head><body><main>
<h1>Host</h1>
<speedq-chat src="/no-model/" placeholder="Ask">
<p slot="poster">Before</p><p slot="footer">After</p></speedq-chat></main></body></html>`;

const MARKDOWN = `There are **two** animals:

- near
- far

| animal | where |
|---|---|
| fox | top left |

\`\`\`
<b>as it is</b>
\`\`\`

See [this](https://evil.invalid/).`;

const STYLE =
  ':root { color-scheme: light dark; } speedq-chat::part(load-button) { text-transform: uppercase; } .tall { margin-block-end: 300vh; }';

describe.skipIf(!existsSync(standalone))('<speedq-chat>', () => {
  let browser: TestBrowser;
  let server: PageServer;
  let page: Page;
  beforeAll(async () => {
    server = await servePages(
      {
        '/': PAGE,
        '/page.css': STYLE,
        '/favicon.ico': '',
        '/echo-host': PAGE.replace('/speedq/', '/echo/'),
        '/lazy-host': PAGE.replace('/speedq/', '/echo/')
          .replace('<h1>', '<h1 class="tall">')
          .replace('src="/no', 'reveal="auto" src="/no'),
        '/echo/engine-worker.js': await echoEngineScript(),
        '/frame-host':
          '<!doctype html><iframe title="Chat" src="/speedq/frame.html?src=/no-model/"></iframe>',
      },
      { '/speedq/': standalone, '/echo/': standalone },
      // The strictest host that can have it: Trusted Types enforced, nothing inline.
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; worker-src 'self'; frame-src 'self'; require-trusted-types-for 'script'; trusted-types speedq-element",
    );
    browser = await openBrowser();
    page = await browser.context.newPage();
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  it('fetches its stub alone before a click, and breaks no policy', async () => {
    const problems: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text());
    });
    await page.goto(server.url);
    await page.getByRole('button', { name: 'Load the model' }).waitFor();
    const scripts = server.requests.filter((path) => path.endsWith('.js'));
    expect(scripts.some((path) => /engine-worker|chunk-protocol/.test(path))).toBe(false);
    expect(server.requests.some((path) => path.startsWith('/no-model/'))).toBe(false);
    expect(problems.filter((text) => !text.includes('favicon'))).toEqual([]);
  });

  it('is themed by parts and properties, slotted, and accessible at every size', async () => {
    const button = page.getByRole('button', { name: 'Load the model' });
    expect(await button.evaluate((node) => getComputedStyle(node).textTransform)).toBe('uppercase');
    await page.getByText('Before').waitFor();
    await page.getByText('After').waitFor();
    await atEverySize(page, 'element-before', async () => expect(await axeViolations(page)).toEqual([]));
  });

  it('loads by keyboard, says what went wrong as an event and as an alert, and can be asked again', async () => {
    const failed = page.evaluate(
      () =>
        new Promise((resolve) => {
          document.querySelector('speedq-chat')!.addEventListener('error', (event) => {
            const { error } = (event as unknown as CustomEvent<{ error: { code: string } }>).detail;
            resolve(error.code);
          });
        }),
    );
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    // The engine's worker has started and answered: its address passed Trusted Types.
    expect(await failed).toBe('network');
    await page.getByRole('alert').waitFor();
    await page.getByRole('button', { name: 'Try again' }).waitFor();
    expect(await axeViolations(page)).toEqual([]);
  }, 120_000);

  it('draws answers as Markdown, and is accessible with a conversation at every size', async () => {
    await page.goto(`${server.url}echo-host`);
    await page.getByRole('button', { name: 'Load the model' }).click();
    const question = page.getByLabel('Question');
    await question.fill(MARKDOWN);
    await question.press('Enter');
    const answer = page.getByRole('log').locator('.answer').last();
    await answer.getByRole('cell', { name: 'fox' }).waitFor();
    await expect(answer.getByRole('listitem').allInnerTexts()).resolves.toEqual(['near', 'far']);
    await expect(answer.locator('strong').innerText()).resolves.toBe('two');
    await expect(answer.locator('pre').innerText()).resolves.toBe('<b>as it is</b>');
    await expect(answer.locator('a, img').count()).resolves.toBe(0);
    await question.fill('And in words?');
    await question.press('Enter');
    await page.getByRole('log').locator('.answer').nth(1).getByText('And in words?').waitFor();
    await atEverySize(page, 'element-chat', async () => expect(await axeViolations(page)).toEqual([]));
  }, 120_000);

  it('loads by itself when it comes into view, and tells what happens', async () => {
    await page.goto(`${server.url}lazy-host`);
    await page.evaluate(() => {
      const told: string[] = [];
      Object.assign(window, { told });
      for (const name of ['load', 'message', 'progress', 'error'])
        document.querySelector('speedq-chat')!.addEventListener(name, () => told.push(name));
    });
    const told = (): Promise<string[]> => page.evaluate(() => (window as never as { told: string[] }).told);
    const state = (): Promise<string | null> => page.locator('speedq-chat').getAttribute('data-state');
    await page.waitForTimeout(300);
    expect(await state()).not.toBe('ready');
    await page.locator('speedq-chat').scrollIntoViewIfNeeded();
    await expect.poll(state, { timeout: 20_000 }).toBe('ready');
    const said = await page.evaluate(() =>
      (document.querySelector('speedq-chat') as never as { ask(text: string): Promise<string> }).ask('Well?'),
    );
    expect(said).toBe('Well?');
    expect((await told()).filter((name) => name !== 'progress')).toEqual(['load', 'message', 'message']);
  }, 60_000);

  it('runs in a frame', async () => {
    await page.goto(`${server.url}frame-host`);
    await page.frameLocator('iframe').getByRole('button', { name: 'Load the model' }).waitFor();
  });

  it('100 mounts and unmounts leave nothing', async () => {
    await page.goto(server.url);
    await page.getByRole('button', { name: 'Load the model' }).waitFor();
    const session = await browser.context.newCDPSession(page);
    await session.send('Performance.enable');
    const counts = async (): Promise<Record<string, number>> => {
      await session.send('HeapProfiler.collectGarbage');
      const { metrics } = await session.send('Performance.getMetrics');
      const of = (name: string): number => metrics.find((metric) => metric.name === name)!.value;
      return { nodes: of('Nodes'), listeners: of('JSEventListeners') };
    };
    const cycle = (times: number): Promise<void> =>
      page.evaluate(async (count) => {
        for (let i = 0; i < count; i++) {
          const chat = document.createElement('speedq-chat');
          chat.setAttribute('src', '/no-model/');
          document.body.append(chat);
          await Promise.resolve();
          chat.remove();
          await Promise.resolve();
        }
      }, times);
    await cycle(5);
    const before = await counts();
    await cycle(100);
    const after = await counts();
    // One element has more than twenty nodes; a hundred kept ones would be thousands.
    expect(after.nodes - before.nodes).toBeLessThan(100);
    expect(after.listeners - before.listeners).toBeLessThan(20);
  });
});
