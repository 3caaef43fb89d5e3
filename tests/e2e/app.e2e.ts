import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Page } from 'playwright-core';
import { axeViolations } from './support/axe.ts';
import { openBrowser } from './support/browser.ts';
import type { TestBrowser } from './support/browser.ts';
import { makeZip } from '../malformed/fuzz/make-zip.ts';
import { ChatPage } from './support/chat-page.ts';
import { dropFiles } from './support/drop-files.ts';
import { atEverySize } from './support/screenshots.ts';
import { chatFile, savedChat } from './support/saved-chats.ts';
import { dist, modelFolder, serveWithModels } from './support/server.ts';

const MARKDOWN = `# Heading

A **bold** word, *another* and \`code\`.

- one
- two

| a | b |
|---|---|
| 1 | 2 |

\`\`\`
<b>as it is</b>
\`\`\`

![remote](https://evil.invalid/pixel.png) and [a link](https://evil.invalid/).`;

// Everything that needs no open model: the page before the download is agreed to.
describe('the app', () => {
  let server: Awaited<ReturnType<typeof serveWithModels>>;
  let browser: TestBrowser;
  let page: Page;
  const requested: string[] = [];
  const problems: string[] = [];

  beforeAll(async () => {
    server = await serveWithModels({});
    browser = await openBrowser();
    browser.context.on('request', (request) => requested.push(request.url()));
  });

  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  beforeEach(async () => {
    await page?.close();
    page = await browser.context.newPage();
    page.on('console', (message) => {
      if (/Content Security Policy|Trusted/.test(message.text())) problems.push(message.text());
    });
    page.on('pageerror', (error) => problems.push(error.message));
    await page.goto(server.url);
    await page.getByRole('button', { name: /^Download/ }).waitFor();
  });

  const open = async (...chats: Record<string, unknown>[]): Promise<void> => {
    await page.getByLabel('Open saved chats').last().setInputFiles(chatFile(chats));
    await page.getByText(/chats? (was|were) added/).waitFor();
  };
  const list = () => page.getByRole('navigation', { name: 'Chats' });
  const menu = async (title: string, item: string): Promise<void> => {
    await page.getByRole('button', { name: `More for “${title}”` }).click();
    await page.getByRole('menuitem', { name: item }).click();
  };

  it('explains the download on one screen, without violations', async () => {
    await atEverySize(page, 'first-visit', async () => {
      await expect(page.getByRole('button', { name: /^Download/ }).isVisible()).resolves.toBe(true);
      const box = await page.getByRole('button', { name: /^Download/ }).boundingBox();
      expect(box!.y + box!.height).toBeLessThanOrEqual(page.viewportSize()!.height);
      expect(await axeViolations(page)).toEqual([]);
    });
  });

  it('fits 320 pixels without scrolling sideways', async () => {
    await page.setViewportSize({ width: 320, height: 600 });
    await open(savedChat('Narrow', ['A question', MARKDOWN]));
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(width).toBe(320);
    await page.setViewportSize({ width: 1100, height: 900 });
  });

  it('draws Markdown, and remote pictures and links as text', async () => {
    await open(savedChat('Markdown', ['Show me', MARKDOWN]));
    const answer = new ChatPage(page).answers().last();
    await expect(answer.getByRole('heading', { name: 'Heading' }).count()).resolves.toBe(1);
    await expect(answer.getByRole('listitem').allInnerTexts()).resolves.toEqual(['one', 'two']);
    await expect(answer.getByRole('cell').allInnerTexts()).resolves.toEqual(['1', '2']);
    await expect(answer.locator('pre').innerText()).resolves.toBe('<b>as it is</b>');
    await expect(answer.locator('a, img').count()).resolves.toBe(0);
    expect(await answer.innerText()).toContain('remote (https://evil.invalid/pixel.png)');
    await atEverySize(page, 'conversation', async () => {
      expect(await axeViolations(page)).toEqual([]);
    });
  });

  it('searches, renames, deletes and brings back chats', async () => {
    await open(savedChat('About foxes', ['Is it red?', 'Yes.']), savedChat('About cows', ['Moo?', 'Moo!']));
    await page.getByLabel('Search chats').fill('moo');
    await list().getByRole('button', { name: 'About foxes', exact: true }).waitFor({ state: 'detached' });
    await expect(list().getByRole('button', { name: 'About cows', exact: true }).count()).resolves.toBe(1);
    await page.getByLabel('Search chats').fill('');
    await menu('About foxes', 'Rename');
    await page.getByLabel('Name of the chat').fill('Renards');
    await page.keyboard.press('Enter');
    await list().getByRole('button', { name: 'Renards', exact: true }).waitFor();
    await menu('Renards', 'Delete');
    await list().getByRole('button', { name: 'Renards', exact: true }).waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Undo' }).click();
    await list().getByRole('button', { name: 'Renards', exact: true }).click();
    // Kept: another visit finds it.
    await page.reload();
    await list().getByRole('button', { name: 'Renards', exact: true }).click();
    await new ChatPage(page).answers().getByText('Yes.').waitFor();
  });

  it('saves a chat as Markdown and JSON and opens both again', async () => {
    await open(savedChat('To keep', ['What?', 'A **fox**.']));
    for (const [item, extension] of [
      ['Save as Markdown', 'md'],
      ['Save as JSON', 'json'],
    ]) {
      const download = page.waitForEvent('download');
      await menu('To keep', item);
      const file = await download;
      expect(file.suggestedFilename()).toBe(`To keep.${extension}`);
      const path = await file.path();
      const buffer = await readFile(path);
      await menu('To keep', 'Delete');
      await page
        .getByLabel('Open saved chats')
        .last()
        .setInputFiles({ name: `again.${extension}`, mimeType: 'text/plain', buffer });
      await new ChatPage(page).answers().getByText('A fox.').waitFor();
      await list().getByRole('button', { name: 'To keep', exact: true }).waitFor();
    }
  });

  it('speaks Chinese when told to, and stays so', async () => {
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByText('简体中文').click();
    await page.getByRole('heading', { name: '设置' }).waitFor();
    await expect(page.locator('html').getAttribute('lang')).resolves.toBe('zh-Hans');
    await page.reload();
    await page.getByRole('button', { name: /^下载/ }).waitFor();
    await page.getByRole('button', { name: '设置' }).click();
    await page.getByText('English').click();
    await page.getByRole('heading', { name: 'Settings' }).waitFor();
  });

  it('keeps the appearance that was chosen', async () => {
    const background = (): Promise<string> =>
      page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.emulateMedia({ colorScheme: 'light' });
    const light = await background();
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByText('Dark', { exact: true }).click();
    expect(await background()).not.toBe(light);
    await page.reload();
    await page.getByRole('button', { name: 'Settings' }).click();
    expect(await background()).not.toBe(light);
    await page.getByText('Auto', { exact: true }).click();
    expect(await background()).toBe(light);
  });

  it.each(['Settings', 'Models', 'Keyboard'])('%s has no violations at any size', async (name) => {
    await atEverySize(page, name.toLowerCase(), async (size) => {
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      if (name === 'Keyboard') {
        await page.keyboard.press('?');
      } else {
        if (size === 'phone') await page.getByRole('button', { name: 'Show chats' }).click();
        await page.getByRole('button', { name, exact: true }).last().click();
      }
      await page.getByRole('heading', { name, exact: true }).waitFor();
      if (name === 'Models') await page.getByText(/of this site’s storage/).waitFor();
      expect(await axeViolations(page)).toEqual([]);
    });
  });

  it('the list of chats has no violations at any size', async () => {
    await open(savedChat('One', ['?', '!']), savedChat('Two', ['?', '!']));
    await atEverySize(page, 'chats', async (size) => {
      const button = page.getByRole('button', { name: 'Show chats' });
      const isOpen = await page.getByRole('dialog', { name: 'Chats' }).isVisible();
      if (size === 'phone' && !isOpen) await button.click();
      if (size === 'desktop' && isOpen) await page.keyboard.press('Escape');
      expect(await axeViolations(page)).toEqual([]);
    });
  });

  it('keeps a model from a folder, verifies it, and lets it go', async () => {
    await page.getByRole('button', { name: 'Models', exact: true }).click();
    await page.getByLabel('Add from a folder').last().setInputFiles(modelFolder);
    await page.getByText('pico-2bit was added.').waitFor();
    const card = page
      .getByRole('dialog', { name: 'Models' })
      .getByRole('listitem')
      .filter({ has: page.getByRole('button', { name: /^Use: pico-2bit/ }) });
    await card.getByText('On this device').waitFor();
    await card.getByRole('button', { name: 'Verify' }).click();
    await card.getByText('Every file is as it should be.').waitFor();
    await card.getByRole('button', { name: 'Remove from the list' }).click();
    await card.waitFor({ state: 'detached' });
  });

  it('keeps models that are dropped: folders and archives, but no other folder', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'speedq-drop-'));
    try {
      // Not at the root, beside something else, and with a picture that must not be attached.
      await cp(modelFolder, join(folder, 'models', 'mine'), { recursive: true });
      await cp(join(dist, 'samples'), join(folder, 'samples'), { recursive: true });
      const names = await readdir(modelFolder);
      const files = new Map<string, Uint8Array>();
      for (const name of names) files.set(name, await readFile(join(modelFolder, name)));
      await writeFile(join(folder, 'other.zip'), makeZip(files));
      await dropFiles(page, [join(folder, 'models'), join(folder, 'other.zip')]);
      await page.getByText('mine was added.').waitFor();
      await page.getByText('other was added.').waitFor();
      const dialog = page.getByRole('dialog', { name: 'Models' });
      for (const name of ['mine', 'other']) {
        const card = dialog
          .getByRole('listitem')
          .filter({ has: page.getByRole('button', { name: `Use: ${name}`, exact: true }) });
        await card.getByText('On this device').waitFor();
        await card.getByRole('button', { name: 'Remove from the list' }).click();
        await card.waitFor({ state: 'detached' });
      }
      await dropFiles(page, [join(folder, 'samples')]);
      await page.getByRole('status').getByText('manifest.json').waitFor();
      await page.keyboard.press('Escape');
      await expect(page.getByRole('button', { name: 'Remove picture' }).count()).resolves.toBe(0);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('adds a model of this site by its address, and none of another', async () => {
    await page.getByRole('button', { name: 'Models', exact: true }).click();
    const field = page.getByLabel(/Address of a packed model/);
    await field.fill('https://evil.invalid/model/');
    await page.keyboard.press('Enter');
    await page.getByRole('status').getByText('Only addresses of this site').waitFor();
    await field.fill('./models/pico-4bit/');
    await page.keyboard.press('Enter');
    await page.getByText('pico-4bit was added.').waitFor();
    await page.getByRole('button', { name: /^Remove from the list: pico-4bit/ }).click();
  });

  it('keys pressed in one go do what each says', async () => {
    const heading = page.getByRole('heading', { name: 'Keyboard', exact: true });
    await page.keyboard.press('?');
    for (let i = 0; i < 5; i++) {
      await heading.waitFor();
      await Promise.all([page.keyboard.press('Escape'), page.keyboard.press('?')]);
    }
    // What closes late would have closed it by then.
    await page.waitForTimeout(300);
    expect(await heading.isVisible()).toBe(true);
  });

  it('everything can be reached by keyboard', async () => {
    await open(savedChat('By keyboard', ['A', 'B']));
    await page.keyboard.press('Alt+KeyK');
    await page.keyboard.type('keyboard');
    await list().getByRole('listitem').nth(1).waitFor({ state: 'detached' });
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    // Arrow keys before the menu has the focus would go nowhere.
    await page.locator('[role="menuitem"]:focus').filter({ hasText: 'Rename' }).waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Undo' }).waitFor();
    await page.keyboard.press('?');
    await page.getByRole('heading', { name: 'Keyboard' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('heading', { name: 'Keyboard' }).waitFor({ state: 'detached' });
  });

  it('asked nobody else for anything, and no rule of the page was broken', () => {
    const origin = new URL(server.url).origin;
    expect(requested.filter((url) => !url.startsWith('blob:') && new URL(url).origin !== origin)).toEqual([]);
    expect(browser.foreignHosts).toEqual([]);
    expect(problems).toEqual([]);
  });
});
