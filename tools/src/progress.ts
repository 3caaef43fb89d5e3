import { formatDuration } from './output.ts';
import type { Output, Terminal } from './output.ts';

/** A long step that reports how far it is. */
export interface ProgressTask {
  /** May be set once it is known; there is no ETA before. */
  total: number | undefined;
  /** `detail` is short, such as the loss. Cheap: may be called for every item. */
  update(done: number, detail?: string): void;
  /** Prints the last line. Without it (an error was thrown) the line stays as it was, see `leave`. */
  finish(detail?: string): void;
}

export interface Progress {
  /** Begins a step of `total` items. */
  start(label: string, total?: number): ProgressTask;
  /** What is written next begins on a line of its own, also where one was being redrawn. */
  leave(): void;
}

/** A terminal line is redrawn ten times a second, a log gets a line every few seconds. */
const REDRAW_SECONDS = 0.1;
const LOG_SECONDS = 5;
/** A long run writes less often, down to a line a minute: CI services end jobs that are silent for longer. */
const LOG_SECONDS_MAX = 60;
const LOG_SHARE = 1 / 20;
const EVENT_SECONDS = 1;

function logInterval(elapsed: number): number {
  return Math.min(LOG_SECONDS_MAX, Math.max(LOG_SECONDS, elapsed * LOG_SHARE));
}

/** `now` in seconds; it drives the rate limits, so that no timer has to fire while training blocks the loop. */
export function createProgress(
  terminal: Terminal,
  output: Output,
  { quiet, now = () => performance.now() / 1000 }: { readonly quiet: boolean; readonly now?: () => number },
): Progress {
  // Whether the cursor stands behind a line that is being redrawn.
  let open = false;
  const redraw = (text: string): void => {
    // A line that wraps could not be redrawn in place.
    terminal.stderr(`\r\u001b[K${text.slice(0, (terminal.columns ?? Infinity) - 1)}`);
    open = true;
  };
  const leave = (): void => {
    if (open) terminal.stderr('\n');
    open = false;
  };
  return {
    leave,
    start(label, initialTotal) {
      const begin = now();
      // The first line of a log comes after a while: steps that are over by then print only their end.
      let drawn = terminal.interactive ? -Infinity : begin;
      let sent = -Infinity;
      const line = (done: number, detail: string | undefined): string => {
        const seconds = now() - begin;
        const rate = done / seconds;
        const { total } = task;
        const parts = [
          total === undefined ? `${done}` : `${Math.floor((100 * done) / total)}% (${done}/${total})`,
        ];
        if (detail !== undefined) parts.push(detail);
        if (total !== undefined && done > 0 && done < total) {
          parts.push(`ETA ${formatDuration((total - done) / rate)}`);
        }
        return `${label}: ${parts.join(', ')}`;
      };
      const event = (done: number, detail: string | undefined): void =>
        output.event('progress', { step: label, done, total: task.total, detail, seconds: now() - begin });
      let latest = 0;
      const task: ProgressTask = {
        total: initialTotal,
        update(done, detail) {
          latest = done;
          const time = now();
          if (time - sent >= EVENT_SECONDS) {
            sent = time;
            event(done, detail);
          }
          const interval = terminal.interactive ? REDRAW_SECONDS : logInterval(time - begin);
          if (quiet || time - drawn < interval) return;
          drawn = time;
          const text = line(done, detail);
          if (terminal.interactive) redraw(text);
          else
            terminal.stderr(`${text}
`);
        },
        finish(detail) {
          event(task.total ?? latest, detail);
          if (quiet) return;
          const text = `${label}: ${detail ?? 'done'} (${formatDuration(now() - begin)})`;
          terminal.stderr(terminal.interactive ? `\r\u001b[K${text}\n` : `${text}\n`);
          open = false;
        },
      };
      return task;
    },
  };
}
