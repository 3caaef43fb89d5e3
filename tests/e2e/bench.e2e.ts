import { readFile } from 'node:fs/promises';
import { expect, it, onTestFinished } from 'vitest';
import { openBrowser } from './support/browser.ts';
import { serveWithModels } from './support/server.ts';

it('bench.html measures a token of the shipped model, and saves it as JSON', async () => {
  const server = await serveWithModels({});
  onTestFinished(() => server.close());
  const browser = await openBrowser();
  onTestFinished(() => browser.close());
  const page = await browser.context.newPage();
  const problems: string[] = [];
  page.on('pageerror', ({ message }) => problems.push(message));
  await page.goto(new URL('bench.html', server.url).href);
  await page.getByRole('button', { name: 'Measure' }).click();
  await page.getByText('Done.').waitFor({ timeout: 400_000 });
  const rows = await page.getByRole('row').filter({ hasText: 'decode' }).count();
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Save as JSON' }).click();
  const saved = JSON.parse(await readFile(await (await download).path(), 'utf8')) as {
    readonly adapter: string;
    readonly kernels: readonly { readonly seconds: number; readonly bytes: number }[];
    readonly decode: { readonly dispatchesPerToken: number; readonly tokensPerSecond: number };
  };
  expect(saved.adapter).not.toBe('');
  expect(saved.kernels).toHaveLength(rows);
  expect(saved.kernels.every(({ seconds, bytes }) => seconds > 0 && bytes > 0)).toBe(true);
  // Six layers of six, and three around them.
  expect(saved.decode.dispatchesPerToken).toBe(39);
  expect(saved.decode.tokensPerSecond).toBeGreaterThan(0);
  expect(problems).toEqual([]);
});
