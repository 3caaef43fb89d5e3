/** The demo page of examples/, built as a reader builds it, with the model: elements in prose, scripted, and in React. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openBrowser } from './support/browser.ts';
import type { TestBrowser } from './support/browser.ts';
import { servePages } from './support/pages.ts';
import type { PageServer } from './support/pages.ts';

const examples = fileURLToPath(new URL('../../examples/', import.meta.url));
const POLICY = "frame-ancestors 'none'";

let browser: TestBrowser;
let server: PageServer;
beforeAll(async () => {
  await build({ configFile: `${examples}vite.config.ts`, logLevel: 'warn' });
  const page = readFileSync(`${examples}dist/index.html`, 'utf8');
  server = await servePages({ '/': page, '/favicon.ico': '' }, { '/': `${examples}dist/` }, POLICY);
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
  server?.close();
});

it('three elements share one engine and one download; a script asks, a person asks, React listens', async () => {
  const page = await browser.context.newPage();
  await page.goto(server.url);
  expect(server.requests.filter((path) => path.startsWith('/models/'))).toEqual([]);
  await page.getByRole('button', { name: 'Ask about the farm' }).click();
  const answer = page.locator('#answer');
  await expect.poll(() => answer.innerText(), { timeout: 400_000 }).toMatch(/cow/);

  const inReact = page.locator('#react speedq-chat');
  await inReact.getByRole('button', { name: 'Load the model' }).click();
  await inReact.getByLabel('Question').fill('What colour is the sky?');
  await inReact.getByLabel('Question').press('Enter');
  await page.getByText('Questions asked here: 1').waitFor();
  const log = inReact.getByRole('log');
  await expect
    .poll(() => log.locator('.answer').innerText(), { timeout: 200_000 })
    .not.toMatch(/^Answer:\s*$/);
  expect(await log.getAttribute('aria-busy').then(() => page.workers().length)).toBe(1);
  expect(server.requests.filter((path) => path.endsWith('.safetensors'))).toHaveLength(1);
  expect(browser.foreignHosts).toEqual([]);
}, 600_000);
