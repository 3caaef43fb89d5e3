import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBrowser } from './support/browser.ts';
import type { TestBrowser } from './support/browser.ts';
import { ChatPage } from './support/chat-page.ts';
import { startAppServer } from './support/server.ts';
import type { AppServer } from './support/server.ts';

const sample = (name: string): string =>
  fileURLToPath(new URL(`../../web/public/samples/${name}`, import.meta.url));

/** The picture as a phone stores it when held sideways: turned pixels and the tag that turns them back. */
async function sidewaysJpeg(name: string): Promise<Buffer> {
  const upright = await sharp(sample(name)).toBuffer();
  const turned = await sharp(upright).rotate(-90).png().toBuffer();
  return await sharp(turned).withMetadata({ orientation: 6 }).jpeg({ quality: 95 }).toBuffer();
}

// One visit after another in one browser profile: the later ones need what the first one kept.
describe('the chat page', () => {
  let server: AppServer;
  let browser: TestBrowser;
  let chat: ChatPage;
  const requested: string[] = [];
  const violations: string[] = [];

  beforeAll(async () => {
    server = await startAppServer();
    browser = await openBrowser();
    browser.context.on('request', (request) => requested.push(request.url()));
    const page = await browser.context.newPage();
    page.on('console', (message) => {
      if (/Content Security Policy|TrustedScript/.test(message.text())) violations.push(message.text());
    });
    chat = new ChatPage(page);
    await page.goto(server.url);
    await chat.ready();
  });

  afterAll(async () => {
    await browser?.close();
    await server?.kill();
  });

  it('says that a software adapter is used', async () => {
    await expect(chat.page.getByRole('note').innerText()).resolves.toMatch(/WebGPU runs in software/);
  });

  it('answers three questions about a sample picture', async () => {
    const farm = chat.page.getByRole('listitem').filter({ has: chat.page.locator('img[src$="farm.png"]') });
    await farm.getByRole('button', { name: 'How many objects are there?' }).click();
    expect(await chat.answer(0)).toMatch(/4|four/i);
    expect(await chat.ask('Is there a pig?')).toMatch(/yes/i);
    expect(await chat.ask('Is there a dog?')).toMatch(/no/i);
    await expect(chat.page.getByText(/first token after/).count()).resolves.toBeGreaterThan(0);
  });

  it('answers without a picture', async () => {
    await chat.removePicture();
    expect(await chat.ask('What colour is a lemon usually?')).toMatch(/yellow/i);
  });

  it('a question asked while a new picture is being read is about the new picture', async () => {
    await chat.choosePicture(sample('farm.png'));
    await chat.page.getByLabel('Picture file').setInputFiles(sample('fox.png'));
    await chat.ask('Is there a fox in the picture?');
    await expect(chat.turns().last().getByRole('img').getAttribute('alt')).resolves.toBe('fox.png');
  });

  it('stops an answer on Escape and answers the next question', async () => {
    const { page } = chat;
    await chat.choosePicture(sample('farm.png'));
    await page.getByLabel('Question').fill('Describe the picture in detail.');
    await page.getByLabel('Question').press('Enter');
    const last = chat.turns().last();
    await page.getByRole('button', { name: 'Stop' }).waitFor();
    await page.keyboard.press('Escape');
    await last.getByText('Stopped.').waitFor();
    expect(await chat.ask('Is there a lemon?')).toMatch(/yes/i);
  });

  it('applies the EXIF orientation of a JPEG', async () => {
    await chat.choosePicture({
      name: 'sideways.jpg',
      mimeType: 'image/jpeg',
      buffer: await sidewaysJpeg('fox.png'),
    });
    // Without the turn the purple star would be nearest to the corner, and named.
    expect(await chat.ask('What is at the top left?')).toMatch(/moon/i);
  });

  it('refuses an unreadable picture and says what to do', async () => {
    const cut = (await readFile(sample('farm.png'))).subarray(0, 4000);
    await chat.page.getByLabel('Picture file').setInputFiles({
      name: 'cut.png',
      mimeType: 'image/png',
      buffer: cut,
    });
    await chat.alert().waitFor();
    expect(await chat.alert().innerText()).toMatch(
      /This picture cannot be used[\s\S]*try again[\s\S]*invalid-image/,
    );
    await chat.page.getByRole('button', { name: 'Close' }).click();
  });

  it('answers about a new picture after the server was killed and the page reloaded', async () => {
    await chat.page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    await server.kill();
    await expect(fetch(server.url)).rejects.toThrow();
    await chat.page.reload();
    await chat.ready();
    await chat.choosePicture(sample('fox.png'));
    expect(await chat.ask('Is there a fox in the picture?')).toMatch(/yes/i);
    expect(await chat.ask('What colour is the star?')).toMatch(/purple/i);
  });

  it('never asked anyone else for anything', () => {
    const origin = new URL(server.url).origin;
    const elsewhere = requested.filter((url) => !url.startsWith('blob:') && new URL(url).origin !== origin);
    expect(elsewhere).toEqual([]);
    expect(requested.some((url) => url.endsWith('.safetensors'))).toBe(true);
    expect(browser.foreignHosts).toEqual([]);
    expect(violations).toEqual([]);
  });
});
