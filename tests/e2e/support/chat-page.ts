import { expect } from 'vitest';
import type { Locator, Page } from 'playwright-core';

/** Without a graphics card the browser compiles for a minute, on a busy machine for several. */
const OPEN_MILLISECONDS = 400_000;
const ANSWER_MILLISECONDS = 200_000;

/** What a person does on the chat page, through what a screen reader would find there. */
export class ChatPage {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  /** The first visit: the person agrees to the download. */
  async download(): Promise<void> {
    await this.page.getByRole('button', { name: /^Download (.* )?and begin$/ }).click();
  }

  async ready(): Promise<void> {
    await this.page
      .getByRole('button', { name: 'Choose pictures' })
      .and(this.page.locator(':enabled'))
      .waitFor({ timeout: OPEN_MILLISECONDS });
  }

  /** Puts one picture in the place of those that are attached. */
  async choosePicture(file: string | { name: string; mimeType: string; buffer: Buffer }): Promise<void> {
    await this.removePictures();
    await this.page.getByLabel('Picture file').setInputFiles(file);
    await this.page.getByText('Questions are about this picture.').waitFor();
  }

  async removePictures(): Promise<void> {
    const remove = this.page.getByRole('button', { name: 'Remove picture' });
    while ((await remove.count()) > 0) await remove.first().click();
  }

  /** Asks and waits for the whole answer. */
  async ask(question: string): Promise<string> {
    const before = await this.answers().count();
    await this.page.getByLabel('Question', { exact: true }).fill(question);
    await this.page.getByLabel('Question', { exact: true }).press('Enter');
    return await this.answer(before);
  }

  /** The text of an answer that is coming or there. */
  async answer(index: number, timeout = ANSWER_MILLISECONDS): Promise<string> {
    const answer = this.answers().nth(index);
    const finished = this.page.locator('[data-status=done], [data-status=cut]');
    await answer.and(finished).waitFor({ timeout });
    const text = (await answer.locator('.markdown').innerText()).trim();
    expect(text, 'the model answered').not.toBe('');
    return text;
  }

  conversation(): Locator {
    return this.page.getByRole('region', { name: 'Conversation' });
  }

  questions(): Locator {
    return this.conversation().getByRole('article', { name: 'You' });
  }

  answers(): Locator {
    return this.conversation().getByRole('article', { name: 'Answer' });
  }

  alert(): Locator {
    return this.page.getByRole('alert');
  }
}
