import { LANGUAGES } from '../i18n/index.ts';
import type { Dictionary } from '../i18n/index.ts';
import { chosenModel, isPico } from '../models.ts';
import type { ModelChoice } from '../models.ts';
import { PICO_REMEMBERS_TURNS } from '../pico-notes.ts';
import type { Sample } from '../samples.ts';
import { pathTo } from '../chat/tree.ts';
import { readChatFile, writeChatFile } from '../exchange/chat-file.ts';
import { readMarkdown, writeMarkdown } from '../exchange/markdown-file.ts';
import { fileName, saveFile } from '../storage/save-file.ts';
import type { AppState } from './app-state.ts';

/** What a person can do that concerns more than one store. */

/** Sends the question once its pictures are read. False when it was not sent. */
export async function ask({ answering, attachments, model }: AppState, question: string): Promise<boolean> {
  if (answering.busy || question.trim() === '') return false;
  const pictures = await attachments.settled();
  if (!pictures || answering.busy || model.state.loading.status !== 'ready') return false;
  // A model without memory needs the pictures again with the next question.
  if (remembersTurns(model.state.choice)) attachments.replaceBy([]);
  void answering.ask(question, pictures);
  return true;
}

export async function askSample(app: AppState, sample: Sample, question: string): Promise<void> {
  const response = await fetch(`./samples/${sample.file}`);
  app.attachments.replaceBy([]);
  await app.attachments.add(await response.blob(), sample.description);
  await ask(app, question);
}

export function attachFiles({ attachments }: AppState, files: Iterable<File>): void {
  for (const file of files) void attachments.add(file, file.name || 'picture');
}

export function remembersTurns(choice: ModelChoice): boolean {
  return !isPico(choice) || PICO_REMEMBERS_TURNS;
}

export function startNewChat({ attachments, chats, ui }: AppState): void {
  chats.startNew();
  attachments.replaceBy([]);
  ui.set({ drawerOpen: false, editing: undefined });
}

export async function openChat({ attachments, chats, model, ui }: AppState, id: string): Promise<void> {
  await chats.openChat(id);
  ui.set({ drawerOpen: false, editing: undefined });
  const { chat, messages, pictures } = chats.state.open;
  const question = pathTo(messages, chat.leafId).findLast(({ role }) => role === 'user');
  // Where every question brings its pictures, they go on being asked about.
  const shown = remembersTurns(model.state.choice) ? [] : (question?.pictures ?? []);
  attachments.replaceBy(shown.map((picture) => pictures.get(picture)).filter((known) => known !== undefined));
}

export async function deleteChat(app: AppState, id: string): Promise<void> {
  const { answering, chats, notices } = app;
  if (chats.state.open.chat.id === id) {
    answering.stop();
    app.attachments.replaceBy([]);
  }
  const removed = await chats.remove(id);
  const t = texts(app);
  if (!removed) return;
  notices.show(t.chatDeleted, {
    action: { label: t.undo, run: () => void chats.restore([removed]) },
  });
}

export async function exportChat(app: AppState, id: string, format: 'markdown' | 'json'): Promise<void> {
  const whole = await app.chats.read(id);
  if (!whole) return;
  const t = texts(app);
  const { title } = whole.chat;
  if (format === 'json') saveFile(fileName(title, 'json'), await writeChatFile([whole]), 'application/json');
  else {
    const markdown = await writeMarkdown(whole, { user: t.you, assistant: t.answer });
    saveFile(fileName(title, 'md'), markdown, 'text/markdown');
  }
}

export async function exportAllChats({ chats }: AppState): Promise<void> {
  const date = new Date().toISOString().slice(0, 10);
  saveFile(`speedq-chats-${date}.json`, await writeChatFile(await chats.readAll()), 'application/json');
}

export async function importChats(app: AppState, files: Iterable<File>): Promise<void> {
  const t = texts(app);
  for (const file of files) {
    try {
      const text = await file.text();
      const isMarkdown = /\.(md|markdown)$/i.test(file.name);
      const chats = isMarkdown ? [await readMarkdown(text)] : await readChatFile(text);
      await app.chats.restore(chats);
      app.notices.show(t.imported(chats.length));
    } catch (error) {
      const reason = error instanceof Error ? ` ${error.message}` : '';
      app.notices.show(`${t.importFailed(file.name)}${reason}`, { kind: 'problem' });
    }
  }
  app.ui.set({ drawerOpen: false });
}

export async function chooseModel({ model, attachments }: AppState, choice: ModelChoice): Promise<void> {
  const address = new URL(location.href);
  address.searchParams.set('model', choice.id);
  history.replaceState(null, '', address);
  attachments.replaceBy([]);
  await model.choose(choice);
}

/** Another page of the history, or a link with `?model=`. */
export function modelOfPage({ settings }: Pick<AppState, 'settings'>): ModelChoice {
  return chosenModel(location.search, settings.state.addedModels);
}

export function texts({ settings }: Pick<AppState, 'settings'>): Dictionary {
  return LANGUAGES[settings.state.language];
}
