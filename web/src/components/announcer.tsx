import { useEffect, useReducer, useRef } from 'preact/hooks';
import { SentenceReader } from '../chat/sentences.ts';
import { useApp, useText } from '../state/app-state.ts';
import { useStore } from '../state/store.ts';

/** More than anybody goes back to; the conversation itself has them all. */
const KEPT_SENTENCES = 40;

/** Reads answers aloud, whole sentences at a time: for screen readers, not seen. */
export function Announcer() {
  const t = useText();
  const { live } = useStore(useApp().answering);
  const sentences = useRef<{ readonly key: number; readonly text: string }[]>([]);
  const [count, redraw] = useReducer((now: number) => now + 1, 0);
  useEffect(() => {
    if (!live) return;
    const reader = new SentenceReader();
    const say = (more: readonly string[]): void => {
      if (more.length === 0) return;
      const from = (sentences.current.at(-1)?.key ?? 0) + 1;
      const added = more.map((text, i) => ({ key: from + i, text }));
      sentences.current = [...sentences.current, ...added].slice(-KEPT_SENTENCES);
      redraw(0);
    };
    say(reader.push(live.text));
    const stop = live.subscribe((piece) => say(reader.push(piece)));
    return () => {
      stop();
      say(reader.finish());
    };
  }, [live]);
  return (
    <div class="visually-hidden" role="log" aria-label={t.announcements} data-count={count}>
      {sentences.current.map(({ key, text }) => (
        <p key={key}>{text}</p>
      ))}
    </div>
  );
}
