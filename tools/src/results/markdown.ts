import type { Interval } from '../eval/statistics.ts';
import type { Score } from '../eval/scores.ts';

/** A table; the first column is left-aligned, numbers are right-aligned. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

export function percent(value: number | undefined, digits = 1): string {
  return value === undefined || Number.isNaN(value) ? '–' : (100 * value).toFixed(digits);
}

/** 91.2 (89.3–92.8) */
export function withInterval(value: number, [low, high]: Interval): string {
  return Number.isNaN(value) ? '–' : `${percent(value)} (${percent(low)}–${percent(high)})`;
}

export function accuracy(score: Score | undefined): string {
  return score === undefined ? '–' : withInterval(score.accuracy, score.interval);
}

export function bytes(value: number): string {
  return value.toLocaleString('en-US');
}
