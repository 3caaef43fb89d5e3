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

  async ready(): Promise<void> {
    await this.page.getByText('of graphics memory').waitFor({ timeout: OPEN_MILLISECONDS });
  }

  async choosePicture(file: string | { name: string; mimeType: string; buffer: Buffer }): Promise<void> {
    // The note below would be there already from an earlier picture.
    if (await this.page.getByRole('button', { name: 'Remove picture' }).isVisible())
      await this.removePicture();
    await this.page.getByLabel('Picture file').setInputFiles(file);
    await this.page.getByText('Questions are about this picture.').waitFor();
  }

  async removePicture(): Promise<void> {
    await this.page.getByRole('button', { name: 'Remove picture' }).click();
  }

  /** Asks and waits for the whole answer. */
  async ask(question: string): Promise<string> {
    const before = await this.turns().count();
    await this.page.getByLabel('Question').fill(question);
    await this.page.getByLabel('Question').press('Enter');
    return await this.answer(before);
  }

  /** The answer of a turn that is coming or there. */
  async answer(index: number): Promise<string> {
    const answer = this.turns().nth(index).locator('.answer');
    await answer.and(this.page.locator('[data-status=done]')).waitFor({ timeout: ANSWER_MILLISECONDS });
    const text = await answer.locator('.text').allInnerTexts();
    expect(text, 'the model answered').toHaveLength(1);
    return text[0].trim();
  }

  turns(): Locator {
    return this.page.getByRole('log').locator('article');
  }

  alert(): Locator {
    return this.page.getByRole('alert');
  }
}
