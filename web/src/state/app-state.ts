import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import { LANGUAGES } from '../i18n/index.ts';
import type { Dictionary } from '../i18n/index.ts';
import type { AnsweringStore } from './answering.ts';
import type { AppVersionStore } from './app-version.ts';
import type { AttachmentsStore } from './attachments.ts';
import type { ChatsStore } from './chats.ts';
import type { ModelStore } from './model.ts';
import type { NoticesStore } from './notices.ts';
import type { SettingsStore } from './settings.ts';
import { useStore } from './store.ts';
import type { UiStore } from './ui.ts';

/** Everything the components share. */
export interface AppState {
  readonly answering: AnsweringStore;
  readonly attachments: AttachmentsStore;
  readonly chats: ChatsStore;
  readonly model: ModelStore;
  readonly notices: NoticesStore;
  readonly settings: SettingsStore;
  readonly ui: UiStore;
  readonly version: AppVersionStore;
}

export const AppContext = createContext<AppState | undefined>(undefined);

export function useApp(): AppState {
  const app = useContext(AppContext);
  if (!app) throw new Error('Components are drawn inside the AppContext');
  return app;
}

/** The page's texts in the chosen language. */
export function useText(): Dictionary {
  return LANGUAGES[useStore(useApp().settings).language];
}
