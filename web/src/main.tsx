import { markdownStyles } from '@speedq/element/markdown';
import workerAddress from '@speedq/runtime/worker?worker&url';
import { render } from 'preact';
import { App } from './app.tsx';
import { preferredLanguage } from './i18n/index.ts';
import { modelOfPage, remembersTurns, texts } from './state/actions.ts';
import { AnsweringStore } from './state/answering.ts';
import { AppContext } from './state/app-state.ts';
import type { AppState } from './state/app-state.ts';
import { AppVersionStore } from './state/app-version.ts';
import { applyAppearance } from './state/appearance.ts';
import { AttachmentsStore } from './state/attachments.ts';
import { ChatsStore } from './state/chats.ts';
import { ModelStore } from './state/model.ts';
import { NoticesStore } from './state/notices.ts';
import { SettingsStore } from './state/settings.ts';
import { UiStore } from './state/ui.ts';
import { idbChatStorage, memoryChatStorage } from './storage/chat-storage.ts';
import type { ChatStorage } from './storage/chat-storage.ts';
import { openChatDatabase } from './storage/database.ts';
import './styles/index.css';
import { scriptUrl } from './trusted-scripts.ts';

document.adoptedStyleSheets.push(markdownStyles());
const settings = new SettingsStore(localStorageIfAllowed(), preferredLanguage(navigator.languages));
applyAppearance(settings);
const notices = new NoticesStore();
const chats = new ChatsStore(await openStorage());
const model = new ModelStore(
  modelOfPage({ settings }),
  () => new Worker(scriptUrl(workerAddress), { type: 'module', name: 'speedq engine' }),
);
const app: AppState = {
  answering: new AnsweringStore({
    chats,
    model,
    settings: () => settings.state.answers,
    remembersTurns: () => remembersTurns(model.state.choice),
    onStorageProblem: () => notices.show(texts({ settings }).storageFull, { kind: 'problem' }),
  }),
  attachments: new AttachmentsStore((blob) => model.measurePicture(blob)),
  chats,
  model,
  notices,
  settings,
  ui: new UiStore(),
  version: new AppVersionStore(),
};

render(
  <AppContext.Provider value={app}>
    <App />
  </AppContext.Provider>,
  document.getElementById('app')!,
);
model.subscribe(() => {
  const { loading } = model.state;
  if (loading.status === 'ready' && loading.info.adapter.engine === 'wasm')
    void app.version.keepOnDemandFiles();
});
// The browser asks the person whether to leave: what found no room yet would be gone.
addEventListener('beforeunload', (event) => {
  if (chats.hasUnsaved) event.preventDefault();
});
void chats.start();
void model.start();
// Without a service worker (a private window, say) the page works, but not offline.
app.version.start().catch(console.warn);

async function openStorage(): Promise<ChatStorage> {
  try {
    return idbChatStorage(await openChatDatabase());
  } catch {
    setTimeout(() => notices.show(texts({ settings }).chatsNotKept));
    return memoryChatStorage();
  }
}

function localStorageIfAllowed(): Storage | undefined {
  try {
    return localStorage;
  } catch {
    return undefined;
  }
}
