import { useEffect, useRef } from 'preact/hooks';
import { importChats, startNewChat } from '../state/actions.ts';
import { useApp, useText } from '../state/app-state.ts';
import { useStore } from '../state/store.ts';
import { ChatListItem } from './chat-list-item.tsx';
import { Icon } from './icon.tsx';
import { IconButton } from './icon-button.tsx';
import { OfflineBadge } from './offline-badge.tsx';

/** The list of chats: beside the conversation where there is room, a drawer over it where not. */
export function Sidebar() {
  const app = useApp();
  const t = useText();
  const { drawerOpen } = useStore(app.ui);
  const drawer = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (drawerOpen) drawer.current?.showModal();
    else drawer.current?.close();
  }, [drawerOpen]);
  const close = (): void => app.ui.set({ drawerOpen: false });
  return (
    <>
      <aside class="sidebar" aria-label={t.chats}>
        <ChatList />
      </aside>
      <dialog
        ref={drawer}
        class="drawer"
        aria-label={t.chats}
        onClose={close}
        onClick={(event) => {
          if (event.target === drawer.current) close();
        }}
      >
        {drawerOpen && (
          <div class="sidebar">
            <ChatList onClose={close} />
          </div>
        )}
      </dialog>
    </>
  );
}

function ChatList({ onClose }: { onClose?: () => void }) {
  const app = useApp();
  const t = useText();
  const { chats, found, open, query } = useStore(app.chats);
  const file = useRef<HTMLInputElement>(null);
  return (
    <>
      <div class="brand">
        <img src="./icon.svg" alt="" width={28} height={28} />
        <span>{t.appName}</span>
        {onClose && <IconButton icon="close" label={t.closeMenu} class="plain" onClick={onClose} />}
      </div>
      <button type="button" class="new-chat" onClick={() => startNewChat(app)}>
        <Icon name="plus" />
        {t.newChat}
      </button>
      <label class="search">
        <Icon name="search" />
        <span class="visually-hidden">{t.searchChats}</span>
        <input
          type="search"
          placeholder={t.searchChats}
          value={query}
          onInput={(event) => void app.chats.search(event.currentTarget.value)}
        />
      </label>
      <nav class="chat-list" aria-label={t.chats}>
        {chats.length === 0 && <p class="aside">{t.noChats}</p>}
        {chats.length > 0 && found.length === 0 && <p class="aside">{t.nothingFound}</p>}
        <ul>
          {found.map((chat) => (
            <ChatListItem key={chat.id} chat={chat} isOpen={chat.id === open.chat.id} />
          ))}
        </ul>
      </nav>
      <div class="sidebar-foot">
        <button type="button" class="row" onClick={() => file.current?.click()}>
          <Icon name="open" />
          {t.importChats}
        </button>
        <input
          ref={file}
          type="file"
          accept=".json,.md,.markdown,application/json,text/markdown"
          multiple
          class="visually-hidden"
          tabIndex={-1}
          aria-label={t.importChats}
          onChange={(event) => {
            void importChats(app, [...(event.currentTarget.files ?? [])]);
            event.currentTarget.value = '';
          }}
        />
        <button type="button" class="row" onClick={() => app.ui.openDialog('models')}>
          <Icon name="models" />
          {t.models}
        </button>
        <button type="button" class="row" onClick={() => app.ui.openDialog('settings')}>
          <Icon name="settings" />
          {t.settings}
        </button>
        <button type="button" class="row wide-only" onClick={() => app.ui.openDialog('shortcuts')}>
          <Icon name="keyboard" />
          {t.shortcuts}
        </button>
        <OfflineBadge />
      </div>
    </>
  );
}
