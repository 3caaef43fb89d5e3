import type { Message } from '../chat/types.ts';
import { useApp, useText } from '../state/app-state.ts';
import { IconButton } from './icon-button.tsx';

/** Goes between the versions of a question or an answer. */
export function VersionSwitch({ message, siblings }: { message: Message; siblings: readonly Message[] }) {
  const { chats, answering } = useApp();
  const t = useText();
  if (siblings.length < 2) return null;
  const at = siblings.findIndex(({ id }) => id === message.id);
  const show = (step: number) => () => void chats.showSibling(message, step);
  return (
    <span class="versions">
      <IconButton
        icon="left"
        label={t.previousVersion}
        class="small plain"
        disabled={at === 0 || answering.busy}
        onClick={show(-1)}
      />
      <span>{t.versionOf(at + 1, siblings.length)}</span>
      <IconButton
        icon="right"
        label={t.nextVersion}
        class="small plain"
        disabled={at === siblings.length - 1 || answering.busy}
        onClick={show(1)}
      />
    </span>
  );
}
