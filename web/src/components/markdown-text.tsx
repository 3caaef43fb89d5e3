import { markdownWriter } from '@speedq/element/markdown';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { LiveAnswer } from '../state/live-answer.ts';

/**
 * An answer as Markdown. Preact makes the box alone: what is in it is only ever appended to, so that an
 * answer of any length costs the same per token.
 */
export function MarkdownText({ text, live }: { text: string; live: LiveAnswer | undefined }) {
  const box = useRef<HTMLDivElement>(null);
  const written = useRef(0);
  const finish = useRef<(rest: string) => void>(() => {});

  useLayoutEffect(() => {
    const writer = markdownWriter(box.current!);
    let ended = false;
    const write = (piece: string): void => {
      writer.write(piece);
      written.current += piece.length;
    };
    write(live?.text ?? text);
    finish.current = (whole) => {
      if (ended) return;
      ended = true;
      write(whole.slice(written.current));
      writer.end();
    };
    if (!live) return finish.current(text);
    return live.subscribe(write);
    // What comes later comes through the subscription, or as the end.
  }, []);
  // Before the page is painted as finished: the writer holds back its last character until the end.
  useLayoutEffect(() => {
    if (!live) finish.current(text);
  }, [live, text]);
  return <div ref={box} class="markdown" />;
}
