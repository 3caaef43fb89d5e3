import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { openBrowser } from './browser.ts';
import type { TestBrowser } from './browser.ts';
import { ChatPage } from './chat-page.ts';
import { Faults, rememberDevices } from './faults.ts';
import { dist, serveWithModels } from './server.ts';

const LOAD_MILLISECONDS = 300_000;

interface Exchange {
  readonly question: string;
  /** What the page shows of the answer: none where it was stopped. */
  readonly answer: string;
}

/** The built app in a browser, with one chat of which everything that was ever said is remembered. */
export class FaultApp {
  readonly folder: string;
  readonly chat: ChatPage;
  readonly faults: Faults;
  private readonly browser: TestBrowser;
  private server: Awaited<ReturnType<typeof serveWithModels>>;
  private readonly fetched: string[] = [];
  private said: Exchange[] = [];

  private constructor(folder: string, browser: TestBrowser, server: FaultApp['server'], chat: ChatPage) {
    this.folder = folder;
    this.browser = browser;
    this.server = server;
    this.chat = chat;
    this.faults = new Faults(chat.page);
    browser.context.on('request', (request) => this.fetched.push(request.url()));
  }

  /** A visit for the first time: nothing is downloaded yet. */
  static async open(): Promise<FaultApp> {
    const folder = await mkdtemp(join(tmpdir(), 'speedq-faults-'));
    await cp(dist, folder, { recursive: true });
    await rememberDevices(folder);
    const server = await serveWithModels({}, folder);
    const browser = await openBrowser();
    const page = await browser.context.newPage();
    await page.goto(server.url);
    return new FaultApp(folder, browser, server, new ChatPage(page));
  }

  async close(): Promise<void> {
    await this.browser.close();
    this.server.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  async otherTab(): Promise<ChatPage> {
    const page = await this.browser.context.newPage();
    await page.goto(this.server.url);
    return new ChatPage(page);
  }

  /** The network is gone, and what was the server with it, until the promise of `meanwhile` settles. */
  async offline(meanwhile: () => Promise<void>): Promise<void> {
    const { port } = new URL(this.server.url);
    this.server.close();
    await this.faults.setOffline(true);
    try {
      await meanwhile();
    } finally {
      await this.faults.setOffline(false);
      this.server = await serveWithModels({}, this.folder, Number(port));
    }
  }

  /** Names of the model's files that are fetched during `work`, in order; but for the manifest, which is small. */
  async fetchedDuring(work: () => Promise<unknown>): Promise<string[]> {
    const before = this.fetched.length;
    await work();
    return this.fetched
      .slice(before)
      .map((url) => /\/models\/[^/]+\/(.*)$/.exec(new URL(url).pathname)?.[1])
      .filter((name) => name !== undefined && name !== 'manifest.json') as string[];
  }

  startNewChat(): Promise<void> {
    this.said = [];
    return this.chat.page.getByRole('button', { name: 'New chat' }).first().click();
  }

  /** Asks and waits for the whole answer; `meanwhile` happens once the answer has begun. */
  async ask(question: string, meanwhile?: () => Promise<unknown>): Promise<string> {
    const index = await this.begin(question);
    const answer = this.chat.answers().nth(index);
    if (meanwhile) {
      await answer.locator('.markdown:not(:empty)').waitFor({ timeout: LOAD_MILLISECONDS });
      await meanwhile();
    }
    const text = await this.chat.answer(index, LOAD_MILLISECONDS);
    this.said.push({ question, answer: text });
    return text;
  }

  /** As `ask`, with something that the answer cannot be finished without. */
  async askThrough(question: string, fault: () => Promise<unknown>): Promise<string> {
    return await this.ask(question, async () => {
      await fault();
      const status = await this.chat.answers().last().getAttribute('data-status');
      expect(status, 'the fault came in the middle of the answer').toBe('answering');
    });
  }

  /** Asks and stops after some time, before the first word. */
  async askAndStop(question: string, milliseconds: number): Promise<void> {
    const index = await this.begin(question);
    await this.chat.page.getByRole('button', { name: 'Stop' }).waitFor();
    await this.chat.page.waitForTimeout(milliseconds);
    await this.chat.page.keyboard.press('Escape');
    const answer = this.chat.answers().nth(index);
    await answer.and(this.chat.page.locator('[data-status=stopped]')).waitFor();
    await expect(answer.locator('.markdown').innerText(), 'stopped before the first word').resolves.toBe('');
    this.said.push({ question, answer: '' });
  }

  private async begin(question: string): Promise<number> {
    const index = await this.chat.answers().count();
    await this.chat.page.getByLabel('Question', { exact: true }).fill(question);
    await this.chat.page.getByLabel('Question', { exact: true }).press('Enter');
    await this.chat.answers().nth(index).waitFor();
    return index;
  }

  /** Loads the page anew and looks for everything that was ever said. */
  async reload(): Promise<void> {
    await this.chat.page.reload();
    await this.everythingIsThere();
  }

  /** Opens the chat, which is the last one used, from what is kept. */
  async everythingIsThere(): Promise<void> {
    if (this.said.length === 0) return;
    const { page } = this.chat;
    await page.getByRole('navigation', { name: 'Chats' }).getByRole('button').first().click();
    await this.chat
      .questions()
      .nth(this.said.length - 1)
      .waitFor();
    const questions = await this.chat.questions().locator('.bubble').allInnerTexts();
    const answers = await this.chat.answers().locator('.markdown').allInnerTexts();
    expect(questions.map((text) => text.trim())).toEqual(this.said.map(({ question }) => question));
    expect(answers.map((text) => text.trim())).toEqual(this.said.map(({ answer }) => answer));
  }
}
