import { startNewChat } from './actions.ts';
import type { AppState } from './app-state.ts';

/** Keys that work everywhere on the page (see components/shortcuts-dialog.tsx). Returns how to stop. */
export function listenToShortcuts(app: AppState): () => void {
  const controller = new AbortController();
  addEventListener('keydown', (event) => onKeyDown(app, event), { signal: controller.signal });
  return () => controller.abort();
}

function onKeyDown(app: AppState, event: KeyboardEvent): void {
  // What is open has the keys for itself, Escape first of all.
  const isOpen = document.querySelector('dialog[open], [popover]:popover-open') !== null;
  if (isOpen || event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey) return;
  if (event.key === 'Escape') return app.answering.stop();
  // By the key's place: with Alt, some systems give other characters.
  const action = event.altKey ? ALT_KEYS[event.code] : isWriting(event.target) ? undefined : KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action(app);
}

const KEYS: Readonly<Record<string, (app: AppState) => void>> = {
  '/': () => focus('#question'),
  '?': ({ ui }) => ui.openDialog('shortcuts'),
};

const ALT_KEYS: Readonly<Record<string, (app: AppState) => void>> = {
  KeyN: (app) => {
    startNewChat(app);
    focus('#question');
  },
  KeyK: ({ ui }) => {
    const search = '.sidebar input[type=search]';
    if (!isVisible(search)) ui.set({ drawerOpen: true });
    // The drawer is drawn first.
    setTimeout(() => focus(`dialog ${search}`) || focus(search));
  },
};

function focus(selector: string): boolean {
  const element = document.querySelector<HTMLElement>(selector);
  element?.focus();
  return element !== null;
}

function isVisible(selector: string): boolean {
  return document.querySelector<HTMLElement>(selector)?.checkVisibility() === true;
}

function isWriting(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && target.matches('input:not([type=radio], [type=checkbox]), textarea')
  );
}
