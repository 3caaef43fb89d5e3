import { appendFile, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBrowser } from './support/browser.ts';
import type { TestBrowser } from './support/browser.ts';
import { ChatPage } from './support/chat-page.ts';
import { Faults, rememberDevices } from './support/faults.ts';
import { dist, serveWithModels } from './support/server.ts';

/** `npm run test:faults` asks for 20; a round takes minutes on a software adapter, so `npm test` asks for none. */
const ROUNDS = Number(process.env.FAULT_ROUNDS ?? 0);
const SHARD = /safetensors$/;
/** Long enough for something to happen in the middle of its answer. */
const LONG = 'Describe the picture in detail.';
const LOAD_MILLISECONDS = 500_000;

// One browser and one chat for all: every fault meets what the earlier ones left.
describe.skipIf(ROUNDS === 0)('the app, when things break', () => {
  let folder: string;
  let server: Awaited<ReturnType<typeof serveWithModels>>;
  let browser: TestBrowser;
  let chat: ChatPage;
  let faults: Faults;
  const fetched: string[] = [];
  const asked: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'speedq-faults-'));
    await cp(dist, folder, { recursive: true });
    await rememberDevices(folder);
    server = await serveWithModels({}, folder);
    browser = await openBrowser();
    browser.context.on('request', (request) => fetched.push(request.url()));
    const page = await browser.context.newPage();
    await page.goto(server.url);
    chat = new ChatPage(page);
    faults = new Faults(page);
  });

  afterAll(async () => {
    await browser?.close();
    server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const shardsFetched = (): number => fetched.filter((url) => SHARD.test(url)).length;

  /** Asks; `meanwhile` happens once the answer has begun. */
  const ask = async (question: string, meanwhile?: () => Promise<unknown>): Promise<string> => {
    const index = await chat.answers().count();
    asked.push(question);
    await chat.page.getByLabel('Question', { exact: true }).fill(question);
    await chat.page.getByLabel('Question', { exact: true }).press('Enter');
    await chat.answers().nth(index).waitFor();
    if (meanwhile) {
      await chat
        .answers()
        .nth(index)
        .locator('.markdown:not(:empty)')
        .waitFor({ timeout: LOAD_MILLISECONDS });
      await meanwhile();
    }
    return await chat.answer(index, LOAD_MILLISECONDS);
  };

  /** Loads the page anew, opens the one chat there is, and looks for every question that was ever asked. */
  const reload = async (): Promise<void> => {
    await chat.page.reload();
    await openChat();
  };

  const openChat = async (): Promise<void> => {
    await chat.page.getByRole('button', { name: asked[0], exact: true }).first().click();
    await everythingIsThere();
  };

  const everythingIsThere = async (): Promise<void> => {
    await chat
      .questions()
      .nth(asked.length - 1)
      .waitFor();
    expect(await chat.questions().count()).toBe(asked.length);
    expect(await chat.answers().count()).toBe(asked.length);
    for (const [index, question] of asked.entries()) {
      expect(await chat.questions().nth(index).innerText()).toContain(question);
    }
  };

  for (let round = 1; round <= Math.max(1, ROUNDS); round++) {
    describe(`round ${round}`, () => {
      if (round === 1) {
        it('two tabs download a model once', async () => {
          const other = new ChatPage(await browser.context.newPage());
          await other.page.goto(server.url);
          await chat.download();
          await other.download();
          for (const { page } of [chat, other]) {
            await page.getByText('Preparing the graphics programs').waitFor({ timeout: LOAD_MILLISECONDS });
          }
          expect(shardsFetched()).toBe(1);
          await other.page.close();
          await chat.ready();
          await ask('What colour is a lemon usually?');
        });
      }

      it('a device that is destroyed in the middle of an answer: the same answer', async () => {
        const expected = await ask(LONG);
        const before = await faults.devices();
        expect(await ask(LONG, () => faults.destroyDevice())).toBe(expected);
        expect(await faults.devices()).toBeLessThanOrEqual(before + 1);
        await everythingIsThere();
      });

      it('the GPU process crashes', async () => {
        await ask(LONG, () => faults.crashGpuProcess());
        await ask('What colour is a lemon usually?');
      });

      it('the worker is killed', async () => {
        await ask(LONG, () => faults.killWorker());
        await ask('What colour is a lemon usually?');
        await everythingIsThere();
      });

      it('an answer is stopped before its first word', async () => {
        const index = await chat.answers().count();
        asked.push(LONG);
        await chat.page.getByLabel('Question', { exact: true }).fill(LONG);
        await chat.page.getByLabel('Question', { exact: true }).press('Enter');
        await chat.page.getByRole('button', { name: 'Stop' }).waitFor();
        await chat.page.keyboard.press('Escape');
        await chat
          .answers()
          .nth(index)
          .and(chat.page.locator('[data-status=stopped], [data-status=done]'))
          .waitFor();
        await ask('What colour is a lemon usually?');
      });

      it('a new version comes and the service worker is stopped in the middle of an answer', async () => {
        await ask(LONG, async () => {
          await appendFile(join(folder, 'service-worker.js'), `\n// build ${round}\n`);
          await faults.stopServiceWorker();
          await chat.page.evaluate(() =>
            navigator.serviceWorker.getRegistration().then((known) => known?.update()),
          );
        });
        await chat.page.getByText('A new version is ready.').waitFor();
        await chat.page.getByRole('button', { name: 'Reload' }).click();
        await chat.page.getByText('A new version is ready.').waitFor({ state: 'detached' });
        await openChat();
        await chat.ready();
      });

      it('the storage is evicted, the device lost: fetched again', async () => {
        const before = shardsFetched();
        await ask(LONG, async () => {
          expect(await faults.changeKept(/./, 'remove')).toBeGreaterThan(1);
          await faults.destroyDevice();
        });
        expect(shardsFetched()).toBeGreaterThanOrEqual(before);
      });

      it('a shard is missing and there is no room for it', async () => {
        await faults.changeKept(SHARD, 'remove');
        await faults.setQuota(1000);
        await reload();
        await chat.download();
        await chat.ready();
        await chat.page.getByText('The model could not be kept on this device').waitFor();
        await ask('What colour is a lemon usually?');
        await faults.setQuota(undefined);
        // What found no room is kept with the next change.
        await ask('Is there a pig?');
        await reload();
        await chat.download();
        await chat.ready();
        await ask('What colour is a lemon usually?');
      });

      it('a shard is damaged', async () => {
        expect(await faults.changeKept(SHARD, 'damage')).toBe(1);
        const before = shardsFetched();
        await reload();
        await chat.ready();
        expect(shardsFetched()).toBe(before + 1);
        await ask('What colour is a lemon usually?');
      });

      it('the network is gone and the service worker stopped', async () => {
        await faults.stopServiceWorker();
        await browser.context.setOffline(true);
        await reload();
        await chat.ready();
        await ask('What colour is a lemon usually?');
        await browser.context.setOffline(false);
        await everythingIsThere();
      });
    });
  }
});
