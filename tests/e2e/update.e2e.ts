import { appendFile, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBrowser } from './support/browser.ts';
import type { TestBrowser } from './support/browser.ts';
import { dist, serveWithModels } from './support/server.ts';

describe('a new version of the app', () => {
  let folder: string;
  let server: Awaited<ReturnType<typeof serveWithModels>>;
  let browser: TestBrowser;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'speedq-app-'));
    // Without the models: nothing here opens one.
    await cp(dist, folder, { recursive: true, filter: (path) => basename(path) !== 'models' });
    server = await serveWithModels({}, folder);
    browser = await openBrowser();
  });

  afterAll(async () => {
    await browser?.close();
    server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('waits, offers itself, and never takes over while an answer is coming', async () => {
    const page = await browser.context.newPage();
    await page.goto(server.url);
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    await expect(page.getByText('A new version is ready.').count()).resolves.toBe(0);
    await appendFile(join(folder, 'service-worker.js'), '\n// another build\n');
    await page.reload();
    await page.getByText('A new version is ready.').waitFor();

    // As another tab does while it answers (state/answering.ts).
    const other = await browser.context.newPage();
    await other.goto(server.url);
    await other.evaluate(() => {
      const held = new Promise((release) => addEventListener('answered', release, { once: true }));
      void navigator.locks.request('speedq-answering', { mode: 'shared' }, () => held);
    });
    await page.evaluate(() => Object.assign(window, { isOldPage: true }));
    const isOldPage = (): Promise<boolean> => page.evaluate(() => 'isOldPage' in window);
    await page.getByRole('button', { name: 'Reload' }).click();
    await page.waitForTimeout(1000);
    expect(await isOldPage()).toBe(true);
    await other.evaluate(() => dispatchEvent(new Event('answered')));
    await page.waitForFunction(() => !('isOldPage' in window));
    await page.getByRole('heading', { name: 'speedq' }).waitFor();
    await expect(page.getByText('A new version is ready.').count()).resolves.toBe(0);
  });
});
