import { useEffect, useRef, useState } from 'preact/hooks';
import { pathTo, showsPictures, siblingsOf } from '../chat/tree.ts';
import { useApp, useText } from '../state/app-state.ts';
import { useStore } from '../state/store.ts';
import { Answer } from './answer.tsx';
import { IconButton } from './icon-button.tsx';
import { Question } from './question.tsx';

/** The shown branch of the open chat. */
export function Conversation() {
  const app = useApp();
  const t = useText();
  const { open } = useStore(app.chats);
  const { live } = useStore(app.answering);
  const path = pathTo(open.messages, open.chat.leafId);
  const end = useRef<HTMLDivElement>(null);
  const [atEnd, setAtEnd] = useState(true);
  const follow = useRef(true);
  follow.current = atEnd;

  useEffect(() => {
    const watcher = new IntersectionObserver(([entry]) => setAtEnd(entry.isIntersecting), {
      // What scrolls, or the margin would end at its edge.
      root: end.current!.closest('main'),
      // Near the end is at the end: half a line of scrolling is no wish to read elsewhere.
      rootMargin: '0px 0px 80px 0px',
    });
    watcher.observe(end.current!);
    return () => watcher.disconnect();
  }, []);
  const toEnd = (): void => end.current?.scrollIntoView({ block: 'end' });
  // A new question or another chat is shown; an answer is followed while its end is in sight.
  useEffect(() => {
    if (open.chat.leafId !== null) toEnd();
    else end.current?.closest('main')?.scrollTo({ top: 0 });
  }, [open.chat.leafId, open.chat.id]);
  useEffect(() => {
    const toEndIfFollowing = (): void => {
      if (follow.current) toEnd();
    };
    if (live) return live.subscribe(toEndIfFollowing);
    // The buttons that come with the end of an answer.
    toEndIfFollowing();
    return undefined;
  }, [live]);

  return (
    <>
      <section class="conversation" aria-label={t.conversation} aria-busy={live !== undefined}>
        {path.length > 0 && <h2 class="visually-hidden">{t.conversation}</h2>}
        {path.map((message, i) =>
          message.role === 'user' ? (
            <Question
              key={message.id}
              message={message}
              siblings={siblingsOf(open.messages, message)}
              pictures={showsPictures(path, i) ? message.pictures.map((id) => open.pictures.get(id)) : []}
            />
          ) : (
            <Answer
              key={message.id}
              message={message}
              siblings={siblingsOf(open.messages, message)}
              live={live?.messageId === message.id ? live : undefined}
              isLast={i === path.length - 1}
            />
          ),
        )}
      </section>
      <div ref={end} class="end" />
      {!atEnd && path.length > 0 && (
        <div class="to-end">
          <IconButton icon="down" label={t.toLatest} onClick={toEnd} />
        </div>
      )}
    </>
  );
}
