import { SpeedqError } from '@speedq/format';

export interface StopFilter {
  /** Text that is certain not to belong to a stop string. Once `stopped`, nothing more. */
  push(text: string): string;
  /** What was held back, at an end that no stop string made. */
  finish(): string;
  /** A stop string came; it and what follows it is left out. */
  readonly stopped: boolean;
}

/** @throws {SpeedqError} `invalid-argument` unless every stop string has a character. */
export function checkStopStrings(stops: readonly string[]): void {
  const bad = stops.find((stop) => typeof stop !== 'string' || stop === '');
  if (bad === undefined) return;
  throw new SpeedqError(
    'invalid-argument',
    `stop must hold strings of at least one character; got ${JSON.stringify(bad)}.`,
  );
}

/**
 * Cuts a text that comes in pieces before the first stop string. The end of a piece that may be the start of
 * a stop string is held back until it is known whether it is one.
 */
export function createStopFilter(stops: readonly string[]): StopFilter {
  let held = '';
  let stopped = false;
  return {
    get stopped() {
      return stopped;
    },
    push(text) {
      if (stopped) return '';
      const all = held + text;
      const matches = stops.map((stop) => all.indexOf(stop)).filter((index) => index >= 0);
      stopped = matches.length > 0;
      const end = stopped ? Math.min(...matches) : all.length - undecided(all, stops);
      held = stopped ? '' : all.slice(end);
      return all.slice(0, end);
    },
    finish() {
      const rest = held;
      held = '';
      return rest;
    },
  };
}

/** Length of the longest end of `text` that begins a stop string. */
function undecided(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length;
    }
  }
  return longest;
}
