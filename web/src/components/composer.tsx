import { useEffect, useRef, useState } from 'preact/hooks';
import type { Chat } from '../chat.ts';
import { ProblemNote } from './problem-note.tsx';

export function Composer({ chat, onFile }: { chat: Chat; onFile: (file: File) => void }) {
  const [text, setText] = useState('');
  const field = useRef<HTMLTextAreaElement>(null);
  const chooser = useRef<HTMLInputElement>(null);
  const { loading, picture, pictureProblem, checkingPicture } = chat.state;
  const ready = loading.status === 'ready';

  useEffect(() => {
    // On a touch screen the keyboard would cover the samples.
    if (ready && matchMedia('(hover: hover)').matches) field.current?.focus({ preventScroll: true });
  }, [ready]);

  const send = (): void => {
    if (text.trim() === '' || !ready || chat.busy) return;
    setText('');
    void chat.ask(text);
  };
  const choose = (input: HTMLInputElement): void => {
    const file = input.files?.[0];
    if (file) onFile(file);
    // The same file can be chosen again.
    input.value = '';
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };

  return (
    <footer class="composer">
      {pictureProblem && (
        <div class="refused">
          <ProblemNote title="This picture cannot be used" problem={pictureProblem} />
          <button type="button" class="quiet" onClick={() => chat.dismissPictureProblem()}>
            Close
          </button>
        </div>
      )}
      {picture && (
        <div class="attached">
          <img src={picture.url} alt={picture.name} />
          <span>Questions are about this picture.</span>
          <button
            type="button"
            class="round small"
            aria-label="Remove picture"
            title="Remove picture"
            onClick={() => chat.detach()}
          >
            <svg viewBox="0 0 24 24" aria-hidden="true">
              <path d="M7 7l10 10M17 7L7 17" />
            </svg>
          </button>
        </div>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        <button
          type="button"
          class="round"
          aria-label="Choose a picture"
          title="Choose a picture (or drop or paste one)"
          disabled={!ready || checkingPicture}
          onClick={() => chooser.current?.click()}
        >
          <svg viewBox="0 0 24 24" aria-hidden="true">
            <path d="M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4" />
            <circle cx="15.500" cy="9" r="1.500" />
          </svg>
        </button>
        <input
          ref={chooser}
          type="file"
          accept="image/*"
          class="visually-hidden"
          tabIndex={-1}
          aria-label="Picture file"
          onChange={(event) => choose(event.currentTarget)}
        />
        <textarea
          ref={field}
          rows={1}
          aria-label="Question"
          placeholder={picture ? 'Ask about it' : 'Ask something'}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        {chat.busy ? (
          <button
            type="button"
            class="round stop"
            aria-label="Stop"
            title="Stop (Esc)"
            onClick={() => chat.stop()}
          >
            <svg viewBox="0 0 24 24" aria-hidden="true">
              <rect x="7" y="7" width="10" height="10" rx="1.500" />
            </svg>
          </button>
        ) : (
          <button
            type="submit"
            class="round send"
            aria-label="Ask"
            title="Ask (Enter)"
            disabled={!ready || text.trim() === ''}
          >
            <svg viewBox="0 0 24 24" aria-hidden="true">
              <path d="M12 19V5M6 11l6-6 6 6" />
            </svg>
          </button>
        )}
      </form>
    </footer>
  );
}
