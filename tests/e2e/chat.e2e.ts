import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { axeViolations } from './support/axe.ts';
import { openBrowser } from './support/browser.ts';
import type { TestBrowser } from './support/browser.ts';
import { ChatPage } from './support/chat-page.ts';
import { atEverySize } from './support/screenshots.ts';
import { startAppServer } from './support/server.ts';
import type { AppServer } from './support/server.ts';

const sample = (name: string): string =>
  fileURLToPath(new URL(`../../web/public/samples/${name}`, import.meta.url));

/**
 * What the shipped model says, and nothing else in this file depends on it: questions it is known to answer
 * rightly, of docs/results.md's kinds.
 */
const KNOWN = {
  farm: { sample: 'Where is the cow?', answer: /top right/i },
  farmMore: [
    ['Is there a pig?', /yes/i],
    ['What is at the centre?', /lemon/i],
  ],
  text: ['What colour is a lemon usually?', /yellow/i],
  long: 'Describe the picture in detail.',
  afterStop: ['Is there a lemon?', /yes/i],
  // Without the turn the purple star would be nearest to the corner, and named.
  sideways: ['What is at the top left?', /moon/i],
  fox: [
    ['Is there a fox in the picture?', /yes/i],
    ['What colour is the star?', /purple/i],
  ],
} as const;

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
  });

  afterAll(async () => {
    await browser?.close();
    await server?.kill();
  });

  it('explains what it will download, and downloads nothing before it is told to', async () => {
    const begin = chat.page.getByRole('button', { name: /^Download \d+\.\d MB and begin$/ });
    await begin.waitFor();
    await expect(chat.page.getByText('No picture and no question is sent to anyone').count()).resolves.toBe(
      1,
    );
    expect(requested.filter((url) => url.endsWith('.safetensors'))).toEqual([]);
    await begin.click();
    await chat.ready();
  });

  it('says that a software adapter is used', async () => {
    await expect(chat.page.getByRole('note').first().innerText()).resolves.toMatch(/WebGPU runs in software/);
  });

  it('answers three questions about a sample picture', async () => {
    const farm = chat.page.getByRole('listitem').filter({ has: chat.page.locator('img[src$="farm.png"]') });
    await farm.getByRole('button', { name: KNOWN.farm.sample }).click();
    expect(await chat.answer(0)).toMatch(KNOWN.farm.answer);
    for (const [question, answer] of KNOWN.farmMore) expect(await chat.ask(question)).toMatch(answer);
    // The picture is shown with the first of the three questions, and goes on being asked about.
    await expect(chat.questions().getByRole('img').count()).resolves.toBe(1);
    await expect(chat.page.getByText(/first token after/).count()).resolves.toBeGreaterThan(0);
  });

  it('tells a screen reader the finished sentences', async () => {
    const said = await chat.page.getByRole('log').innerText();
    expect(said).toContain(await chat.answers().last().locator('.markdown').innerText());
  });

  it('answers without a picture', async () => {
    await chat.removePictures();
    expect(await chat.ask(KNOWN.text[0])).toMatch(KNOWN.text[1]);
  });

  it('a question asked while a new picture is being read is about the new picture', async () => {
    await chat.choosePicture(sample('farm.png'));
    await chat.removePictures();
    await chat.page.getByLabel('Picture file').setInputFiles(sample('fox.png'));
    await chat.ask(KNOWN.fox[0][0]);
    await expect(chat.questions().last().getByRole('img').getAttribute('alt')).resolves.toBe('fox.png');
  });

  it('stops an answer on Escape and answers the next question', async () => {
    const { page } = chat;
    await chat.choosePicture(sample('farm.png'));
    await page.getByLabel('Question', { exact: true }).fill(KNOWN.long);
    await page.getByLabel('Question', { exact: true }).press('Enter');
    await page.getByRole('button', { name: 'Stop' }).waitFor();
    await page.keyboard.press('Escape');
    await chat.answers().last().getByText('Stopped.').waitFor();
    expect(await chat.ask(KNOWN.afterStop[0])).toMatch(KNOWN.afterStop[1]);
  });

  it('applies the EXIF orientation of a JPEG', async () => {
    await chat.choosePicture({
      name: 'sideways.jpg',
      mimeType: 'image/jpeg',
      buffer: await sidewaysJpeg('fox.png'),
    });
    expect(await chat.ask(KNOWN.sideways[0])).toMatch(KNOWN.sideways[1]);
  });

  it('gives another answer, asks in other words, and goes back', async () => {
    const { page } = chat;
    await chat.answers().last().getByRole('button', { name: 'Another answer' }).click();
    await chat.answers().last().getByText('2 of 2').waitFor();
    const count = await chat.answers().count();
    await chat.answer(count - 1);
    await chat.questions().last().hover();
    await chat.questions().last().getByRole('button', { name: 'Edit' }).click();
    await page.getByLabel('Edit the question').fill(KNOWN.fox[0][0]);
    await page.keyboard.press('Enter');
    await chat.questions().last().getByText('2 of 2').waitFor();
    await chat.answer(count - 1);
    await chat.questions().last().getByRole('button', { name: 'Previous version' }).click();
    await chat.questions().last().getByText(KNOWN.sideways[0]).waitFor();
    await expect(chat.answers().last().getByText('2 of 2').count()).resolves.toBe(1);
  });

  it('asks about several pictures, one of them from the camera', async () => {
    const { page } = chat;
    await chat.removePictures();
    await page.getByLabel('Picture file').setInputFiles([sample('farm.png'), sample('fox.png')]);
    await page.getByText('Questions are about these 2 pictures.').waitFor();
    await page.getByRole('button', { name: 'Take a picture' }).click();
    await page.getByRole('button', { name: 'Take it' }).click();
    await page.getByText('Questions are about these 3 pictures.').waitFor();
    await chat.ask(KNOWN.fox[0][0]);
    await expect(chat.questions().last().getByRole('img').count()).resolves.toBe(3);
    await chat.questions().last().getByRole('button', { name: 'Show fox.png' }).click();
    await page.getByLabel('Show tiles').check();
    await page.getByText('The model sees this picture as').waitFor();
    expect(await axeViolations(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await chat.removePictures();
  });

  it('has no violations while chatting', async () => {
    await atEverySize(chat.page, 'chat', async () => {
      expect(await axeViolations(chat.page)).toEqual([]);
    });
    await chat.page.keyboard.press('Alt+KeyN');
    await atEverySize(chat.page, 'welcome', async () => {
      expect(await axeViolations(chat.page)).toEqual([]);
    });
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
    for (const [question, answer] of KNOWN.fox) expect(await chat.ask(question)).toMatch(answer);
    // The chat of before the reload is in the list, pictures and all.
    await chat.page.getByRole('button', { name: KNOWN.farm.sample, exact: true }).first().click();
    const first = chat.questions().first().filter({ hasText: KNOWN.farm.sample });
    await first.getByRole('img').waitFor();
    await expect(chat.answers().first().innerText()).resolves.toMatch(KNOWN.farm.answer);
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
