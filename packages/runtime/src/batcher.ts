/** About one frame: text that comes faster than a screen shows it is sent together. */
const FRAME_MILLISECONDS = 16;

/**
 * Collects text and passes it on at most once a frame. `push` looks at the clock instead of setting a
 * timer: pieces come from a loop that pushes again soon, or flushes at its end.
 */
export function createBatcher(send: (text: string) => void): { push(text: string): void; flush(): void } {
  let waiting = '';
  let sent = -Infinity;
  const flush = (): void => {
    if (waiting === '') return;
    send(waiting);
    waiting = '';
    sent = performance.now();
  };
  return {
    push(text) {
      waiting += text;
      if (performance.now() - sent >= FRAME_MILLISECONDS) flush();
    },
    flush,
  };
}
