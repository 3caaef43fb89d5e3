/**
 * Takes the README's picture (docs/picture.png): the built app in Chromium, asked about a sample picture.
 * `npm run build && npm run docs:picture`; without a graphics card the model takes a minute to open.
 */
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import sharp from 'sharp';
import { findBrowser } from './find-browser.mjs';
import { createStaticServer, listen } from './static-server.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const QUESTIONS = ['Where is the cow?', 'Is there a pig?'];
const PATIENCE = { timeout: 400_000 };

const server = createStaticServer({ root: `${root}web/dist/` });
const address = await listen(server, { port: 18400 });
const browser = await chromium.launch({
  executablePath: findBrowser(),
  args: ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'],
});
try {
  const page = await browser.newPage({ viewport: { width: 1000, height: 800 }, colorScheme: 'light' });
  await page.goto(address);
  await page.getByRole('button', { name: /^Download/ }).click();
  await page.locator('button:enabled', { hasText: QUESTIONS[0] }).waitFor(PATIENCE);
  await page.getByRole('button', { name: QUESTIONS[0] }).click();
  await page.locator('[data-status=done]').waitFor(PATIENCE);
  await page.getByLabel('Question', { exact: true }).fill(QUESTIONS[1]);
  await page.keyboard.press('Enter');
  await page.locator('[data-status=done]').nth(1).waitFor(PATIENCE);
  const picture = await sharp(await page.screenshot())
    .png({ palette: true, colours: 128, effort: 10 })
    .toFile(`${root}docs/picture.png`);
  console.log(`docs/picture.png: ${picture.size} bytes`);
} finally {
  await browser.close();
  server.close();
  server.closeAllConnections();
}
