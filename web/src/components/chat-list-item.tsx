import { useEffect, useRef, useState } from 'preact/hooks';
import type { Chat } from '../chat/types.ts';
import { deleteChat, exportChat, openChat } from '../state/actions.ts';
import { useApp, useText } from '../state/app-state.ts';
import { Menu } from './menu.tsx';

export function ChatListItem({ chat, isOpen }: { chat: Chat; isOpen: boolean }) {
  const app = useApp();
  const t = useText();
  const [renaming, setRenaming] = useState(false);
  const title = chat.title || t.untitled;
  if (renaming) {
    return (
      <li class="chat-item">
        <RenameField
          title={chat.title}
          onDone={(name) => {
            setRenaming(false);
            if (name !== undefined) void app.chats.rename(chat.id, name);
          }}
        />
      </li>
    );
  }
  return (
    <li class="chat-item">
      <button
        type="button"
        class="row"
        aria-current={isOpen ? 'page' : undefined}
        title={title}
        onClick={() => void openChat(app, chat.id)}
        onDblClick={() => setRenaming(true)}
      >
        <span class="ellipsis">{title}</span>
      </button>
      <Menu
        label={t.moreFor(title)}
        items={[
          { icon: 'edit', label: t.rename, run: () => setRenaming(true) },
          { icon: 'save', label: t.exportMarkdown, run: () => void exportChat(app, chat.id, 'markdown') },
          { icon: 'save', label: t.exportJson, run: () => void exportChat(app, chat.id, 'json') },
          { icon: 'trash', label: t.remove, run: () => void deleteChat(app, chat.id) },
        ]}
      />
    </li>
  );
}

function RenameField({ title, onDone }: { title: string; onDone: (name: string | undefined) => void }) {
  const t = useText();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.select(), []);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onDone(field.current?.value);
      }}
    >
      <input
        ref={field}
        defaultValue={title}
        aria-label={t.renameChat}
        maxLength={200}
        onBlur={() => onDone(field.current?.value)}
        onKeyDown={(event) => {
          if (event.key !== 'Escape') return;
          event.stopPropagation();
          onDone(undefined);
        }}
      />
    </form>
  );
}
