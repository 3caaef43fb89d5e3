/**
 * Hundreds of script injections through everything that others can write and the page shows: what a model says, saved
 * chats, names of files and of models. None runs, none becomes an element, and no rule of the page is broken.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Page } from 'playwright-core';
import { openBrowser } from './support/browser.ts';
import type { TestBrowser } from './support/browser.ts';
import { ChatPage } from './support/chat-page.ts';
import { echoEngineScript, serveEchoApp } from './support/echo-app.ts';
import { servePages } from './support/pages.ts';
import { chatFile, savedChat } from './support/saved-chats.ts';
import { xssPayloads } from './support/xss-payloads.ts';

const payloads = xssPayloads();
const samples = fileURLToPath(new URL('../../web/public/samples/', import.meta.url));
const standalone = fileURLToPath(new URL('../../packages/element/dist/standalone/', import.meta.url));
const HOST_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; worker-src 'self'; require-trusted-types-for 'script'; trusted-types speedq-element";

/** In the place of the app's worker for models: what is wrong with one is what its address says after `#`. */
const MODELS_WORKER = `onmessage = ({ data }) => {
  const message = decodeURIComponent(new URL(data.url).hash.slice(1));
  postMessage({ problem: { code: 'network', message } });
};`;

let app: Awaited<ReturnType<typeof serveEchoApp>>;
let host: Awaited<ReturnType<typeof servePages>>;
let browser: TestBrowser;
let page: Page;
let found: string[];

beforeAll(async () => {
  app = await serveEchoApp({ modelsWorker: MODELS_WORKER });
  host = await servePages(
    {
      '/': '<!doctype html><html lang="en"><title>Host</title><script type="module" src="/speedq/speedq-chat.js"></script><speedq-chat src="/model/"></speedq-chat></html>',
      '/favicon.ico': '',
      '/speedq/engine-worker.js': await echoEngineScript(),
    },
    { '/speedq/': standalone },
    HOST_POLICY,
  );
  browser = await openBrowser();
});

afterAll(async () => {
  await browser?.close();
  host?.close();
  await app?.close();
});

beforeEach(async () => {
  found = [];
  page = await browser.context.newPage();
  await page.exposeFunction('xss', () => found.push('a script ran'));
  await page.exposeFunction('noteViolation', (text: string) => found.push(text));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, sample }) => {
      (window as never as { noteViolation(text: string): void }).noteViolation(
        `policy: ${violatedDirective} ${sample}`,
      );
    });
  });
  page.on('dialog', (dialog) => {
    found.push('a dialog opened');
    void dialog.dismiss();
  });
  page.on('pageerror', ({ message }) => found.push(message));
  page.on('request', (request) => {
    const { protocol, host: requested } = new URL(request.url());
    if (protocol !== 'blob:' && !requested.startsWith('localhost')) found.push(`asked ${request.url()}`);
  });
});

afterEach(async () => {
  await page.close();
});

/** Elements that text must not have made, wherever they are, shadow trees included. */
function foreignElements(): Promise<string[]> {
  return page.evaluate(() => {
    const wrong: string[] = [];
    const visit = (root: ParentNode): void => {
      for (const element of root.querySelectorAll('*')) {
        const isAddressed = element.matches(
          'a, area, base, embed, form[action], frame, iframe, object, style',
        );
        const isScript = element.matches('script:not([src^="/"], [src^="./"])');
        const source = element.getAttribute('src') ?? element.getAttribute('href');
        const isOutside =
          source !== null &&
          !/^(blob:|data:image\/|\/|\.\/)/.test(source) &&
          new URL(source, location.href).origin !== location.origin;
        const handlers = element.getAttributeNames().filter((name) => /^on|srcdoc|srcset|^ping$/.test(name));
        if (isAddressed || isScript || isOutside || source?.startsWith('//') || handlers.length > 0)
          wrong.push(element.outerHTML.slice(0, 200));
        if (element.shadowRoot) visit(element.shadowRoot);
      }
    };
    visit(document);
    return wrong;
  });
}

/** Moves over, focuses and waits: what an event waits for. */
async function provoke(): Promise<void> {
  await page.mouse.move(300, 300);
  await page.mouse.move(600, 500);
  for (let i = 0; i < 5; i++) await page.keyboard.press('Tab');
  await page.waitForTimeout(300);
  expect(await foreignElements()).toEqual([]);
  expect(found).toEqual([]);
}

async function openApp(): Promise<ChatPage> {
  await page.goto(app.url);
  const chat = new ChatPage(page);
  await page.getByRole('button', { name: /^Download/ }).waitFor();
  return chat;
}

describe(`${payloads.length} script injections`, () => {
  it('are at least 500, all different', () => {
    expect(payloads.length).toBeGreaterThanOrEqual(500);
    expect(new Set(payloads).size).toBe(payloads.length);
  });

  it('do run where text is taken for HTML: the test can fail', async () => {
    await page.goto(`${host.url}favicon.ico`);
    const bare = await browser.context.newPage();
    let ran = 0;
    await bare.exposeFunction('xss', () => ran++);
    for (const text of payloads.slice(0, 40)) await bare.setContent(text);
    await bare.waitForTimeout(200);
    await bare.close();
    expect(ran).toBeGreaterThan(0);
  });

  it('in what a model says, in the app', async () => {
    const chat = await openApp();
    await chat.download();
    await chat.ready();
    // Joined by ends of what may be open: a payload must not hide the next one.
    for (let i = 0; i < payloads.length; i += 40) {
      await page.keyboard.press('Alt+KeyN');
      await chat.ask(payloads.slice(i, i + 40).join('\n\n```\n\n'));
      expect(await foreignElements()).toEqual([]);
    }
    await provoke();
  });

  it('in saved chats: titles, questions and answers', async () => {
    const chat = await openApp();
    const open = async (...chats: Record<string, unknown>[]): Promise<void> => {
      await page.getByLabel('Open saved chats').last().setInputFiles(chatFile(chats));
      await page.getByText(/chats? (was|were) added/).waitFor();
    };
    await open(...payloads.map((text) => savedChat(text.slice(0, 190), [text, text])));
    await open(
      savedChat(
        'All',
        payloads.flatMap((text) => [text, text]),
      ),
    );
    await page.waitForFunction(
      (count) => document.querySelectorAll('article').length === count,
      2 * payloads.length,
      { timeout: 60_000 },
    );
    expect(await chat.answers().count()).toBe(payloads.length);
    await provoke();
  });

  it('in names of pictures and of files that cannot be read', async () => {
    const chat = await openApp();
    await chat.download();
    await chat.ready();
    const png = (await readFile(join(samples, 'chart.png'))).toString('base64');
    const shown = await page.evaluate(
      async ([names, base64]) => {
        const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
        const drop = (files: readonly File[]): void => {
          const dataTransfer = new DataTransfer();
          for (const file of files) dataTransfer.items.add(file);
          dispatchEvent(new DragEvent('drop', { dataTransfer }));
        };
        const frame = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 4));
        drop(names.map((name) => new File(['{'], `${name}.json`)));
        let alts = 0;
        for (let i = 0; i < names.length; i += 8) {
          const batch = names.slice(i, i + 8);
          // The same picture twice would be attached once: bytes after its end make each another one.
          drop(batch.map((name, j) => new File([bytes, `${j}`], name, { type: 'image/png' })));
          const images = (): NodeListOf<HTMLImageElement> => document.querySelectorAll('.attached img[alt]');
          while (images().length < batch.length) await frame();
          alts += [...images()].filter(({ alt }) => batch.includes(alt)).length;
          for (const button of document.querySelectorAll<HTMLElement>('.attached li > button:last-child'))
            button.click();
          while (images().length > 0) await frame();
        }
        return alts;
      },
      [payloads, png] as const,
    );
    expect(shown).toBe(payloads.length);
    await page.getByText('could not be read as saved chats').first().waitFor();
    await provoke();
  });

  it('on the cards of models: their names and what is wrong with them', async () => {
    await openApp();
    await page.getByRole('button', { name: 'Models', exact: true }).waitFor();
    await page.evaluate((labels) => {
      const addedModels = labels.map((label, i) => ({
        id: `m${i}`,
        label,
        address: `./models/x/#${encodeURIComponent(label)}`,
      }));
      localStorage.setItem('speedq-settings', JSON.stringify({ addedModels }));
    }, payloads);
    await page.reload();
    await page.getByRole('button', { name: 'Models', exact: true }).click();
    const problems = page.locator('.model-card [role=alert]');
    await page.waitForFunction(
      (count) => document.querySelectorAll('.model-card [role=alert]').length >= count,
      payloads.length,
    );
    expect(await problems.last().innerText()).toContain(payloads.at(-1));
    await provoke();
    await page.evaluate(() => localStorage.clear());
  });

  it('in what a model says, in <speedq-chat>', async () => {
    await page.goto(host.url);
    await page.getByRole('button', { name: 'Load the model' }).click();
    await page.getByRole('log').waitFor();
    for (let i = 0; i < payloads.length; i += 40) {
      await page.evaluate(
        async (texts) => {
          const chat = document.querySelector('speedq-chat') as never as {
            ask(text: string): Promise<string>;
            clear(): Promise<void>;
          };
          await chat.clear();
          for (const text of texts) if ((await chat.ask(text)) !== text) throw new Error(`Not said: ${text}`);
        },
        payloads.slice(i, i + 40),
      );
      expect(await foreignElements()).toEqual([]);
    }
    await provoke();
  });

  it('reached nobody', () => {
    expect(browser.foreignHosts).toEqual([]);
  });
});
