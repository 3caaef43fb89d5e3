import { useApp, useText } from '../state/app-state.ts';
import { useStore } from '../state/store.ts';
import { startNewChat } from '../state/actions.ts';
import { IconButton } from './icon-button.tsx';

export function TopBar() {
  const app = useApp();
  const t = useText();
  const { open } = useStore(app.chats);
  const { choice } = useStore(app.model);
  return (
    <header class="top-bar">
      <IconButton
        icon="menu"
        label={t.openMenu}
        class="plain narrow-only"
        onClick={() => app.ui.set({ drawerOpen: true })}
      />
      <h1 class="ellipsis">{open.chat.title || t.appName}</h1>
      <button
        type="button"
        class="model-button"
        aria-label={`${t.model}: ${choice.label}`}
        aria-haspopup="dialog"
        onClick={() => app.ui.openDialog('models')}
      >
        <span class="ellipsis">{choice.label}</span>
      </button>
      <IconButton icon="plus" label={t.newChat} class="plain narrow-only" onClick={() => startNewChat(app)} />
    </header>
  );
}
