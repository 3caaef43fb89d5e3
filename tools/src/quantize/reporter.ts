import { SpeedqError } from '@speedq/format';
import type { WorkerMessage } from './job.ts';

/** How stages speak to whoever runs them. */
export interface Reporter {
  /** A long step of `total` items begins; the one before it is over. */
  start(label: string, total: number): void;
  progress(done: number, detail?: string): void;
  finish(detail?: string): void;
  note(text: string): void;
  event(event: string, fields: Readonly<Record<string, unknown>>): void;
  /** The user wants to stop: save, then throw `interrupted()`. */
  stopRequested(): boolean;
}

export function createReporter(post: (message: WorkerMessage) => void, stop: SharedArrayBuffer): Reporter {
  const flag = new Int32Array(stop);
  return {
    start: (label, total) => post({ type: 'start', label, total }),
    progress: (done, detail) => post({ type: 'progress', done, detail }),
    finish: (detail) => post({ type: 'finish', detail }),
    note: (text) => post({ type: 'note', text }),
    event: (event, fields) => post({ type: 'event', event, fields }),
    stopRequested: () => Atomics.load(flag, 0) !== 0,
  };
}

export function interrupted(where: string): SpeedqError {
  return new SpeedqError(
    'aborted',
    `Interrupted at ${where}; run the same command again to go on from there.`,
  );
}

/** For steps that are cheap to do again: nothing to save. */
export function stopIfAsked(reporter: Reporter, where: string): void {
  if (reporter.stopRequested()) throw interrupted(where);
}
