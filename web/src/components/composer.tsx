import { useEffect, useRef, useState } from 'preact/hooks';
import { pathTo } from '../chat/tree.ts';
import { ask, attachFiles } from '../state/actions.ts';
import { useApp, useText } from '../state/app-state.ts';
import { MOST_PICTURES } from '../state/attachments.ts';
import { useStore } from '../state/store.ts';
import { AttachedPictures } from './attached-pictures.tsx';
import { ContextMeter } from './context-meter.tsx';
import { IconButton } from './icon-button.tsx';

export function Composer() {
  const app = useApp();
  const t = useText();
  const [text, setText] = useState('');
  /** The question waits for its pictures. */
  const [waiting, setWaiting] = useState(false);
  const field = useRef<HTMLTextAreaElement>(null);
  const chooser = useRef<HTMLInputElement>(null);
  const { loading } = useStore(app.model);
  const { attached } = useStore(app.attachments);
  const { live } = useStore(app.answering);
  const { open } = useStore(app.chats);
  const ready = loading.status === 'ready';
  const full = attached.length >= MOST_PICTURES;

  useEffect(() => {
    // On a touch screen the keyboard would cover the samples.
    if (ready && matchMedia('(hover: hover)').matches) field.current?.focus({ preventScroll: true });
  }, [ready, open.chat.id]);

  const send = async (): Promise<void> => {
    if (!ready || live || waiting || text.trim() === '') return;
    setWaiting(true);
    const sent = await ask(app, text);
    setWaiting(false);
    // Refused pictures leave the question where it was.
    if (sent) setText('');
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      void send();
    } else if (event.key === 'ArrowUp' && text === '' && !live) {
      const last = pathTo(open.messages, open.chat.leafId).findLast(({ role }) => role === 'user');
      if (!last) return;
      event.preventDefault();
      app.ui.set({ editing: last.id });
    }
  };
  const placeholder = !ready
    ? t.placeholderNoModel
    : attached.length > 0
      ? t.placeholderPicture
      : t.placeholder;

  return (
    <footer class="composer" data-hidden={loading.status === 'checking'}>
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <AttachedPictures />
        <textarea
          ref={field}
          id="question"
          rows={1}
          aria-label={t.question}
          placeholder={placeholder}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        <div class="tools">
          <IconButton
            icon="picture"
            label={t.choosePicture}
            title={t.choosePictureHint}
            class="plain"
            disabled={!ready || full}
            onClick={() => chooser.current?.click()}
          />
          <input
            ref={chooser}
            type="file"
            accept="image/*"
            multiple
            class="visually-hidden"
            tabIndex={-1}
            aria-label={t.pictureFile}
            onChange={(event) => {
              attachFiles(app, [...(event.currentTarget.files ?? [])]);
              // The same file can be chosen again.
              event.currentTarget.value = '';
            }}
          />
          <IconButton
            icon="camera"
            label={t.takePicture}
            class="plain"
            disabled={!ready || full}
            onClick={() => app.ui.openDialog('camera')}
          />
          <ContextMeter />
          {live ? (
            <IconButton
              icon="stop"
              label={t.stop}
              title={t.stopHint}
              class="accent"
              onClick={() => app.answering.stop()}
            />
          ) : (
            <IconButton
              icon="send"
              label={t.ask}
              title={t.askHint}
              class="accent"
              type="submit"
              disabled={!ready || waiting || text.trim() === ''}
            />
          )}
        </div>
      </form>
    </footer>
  );
}
