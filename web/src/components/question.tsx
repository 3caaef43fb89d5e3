import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Message, Picture } from '../chat/types.ts';
import { useApp, useText } from '../state/app-state.ts';
import { useStore } from '../state/store.ts';
import { CopyButton } from './copy-button.tsx';
import { IconButton } from './icon-button.tsx';
import { PictureThumb } from './picture-thumb.tsx';
import { VersionSwitch } from './version-switch.tsx';

interface QuestionProps {
  message: Message;
  siblings: readonly Message[];
  pictures: readonly (Picture | undefined)[];
}

export function Question({ message, siblings, pictures }: QuestionProps) {
  const app = useApp();
  const t = useText();
  const { editing } = useStore(app.ui);
  const { live } = useStore(app.answering);
  const shown = pictures.filter((picture) => picture !== undefined);
  return (
    <article class="question" aria-label={t.you}>
      {shown.length > 0 && (
        <div class="pictures">
          {shown.map((picture) => (
            <PictureThumb key={picture.id} picture={picture} />
          ))}
        </div>
      )}
      {editing === message.id ? (
        <EditForm message={message} />
      ) : (
        <>
          <p class="bubble">{message.text}</p>
          <div class="actions">
            <VersionSwitch message={message} siblings={siblings} />
            <CopyButton text={message.text} />
            <IconButton
              icon="edit"
              label={t.edit}
              class="small plain"
              disabled={live !== undefined}
              onClick={() => app.ui.set({ editing: message.id })}
            />
          </div>
        </>
      )}
    </article>
  );
}

function EditForm({ message }: { message: Message }) {
  const app = useApp();
  const t = useText();
  const field = useRef<HTMLTextAreaElement>(null);
  // Before the next key, which is meant for it.
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(message.text.length, message.text.length);
  }, []);
  const close = (): void => app.ui.set({ editing: undefined });
  const submit = (): void => {
    const text = field.current?.value ?? '';
    if (text.trim() === '' || app.model.state.loading.status !== 'ready') return;
    close();
    void app.answering.edit(message, text);
  };
  return (
    <form
      class="edit"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
      onKeyDown={(event) => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          close();
        } else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
          event.preventDefault();
          submit();
        }
      }}
    >
      <textarea ref={field} defaultValue={message.text} aria-label={t.editQuestion} rows={2} />
      <div class="buttons">
        <button type="button" class="quiet" onClick={close}>
          {t.cancel}
        </button>
        <button type="submit" class="primary">
          {t.saveAndAsk}
        </button>
      </div>
    </form>
  );
}
