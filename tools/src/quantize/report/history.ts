import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Reporter } from '../reporter.ts';

const HISTORY_FILE = 'history.jsonl';

/** Something that a run said, when, and how much memory the process had used by then. */
export interface HistoryRecord {
  /** Starts of the process tell apart the runs that a kill separates. */
  readonly run: number;
  /** Seconds since the run began. */
  readonly seconds: number;
  readonly peakBytes: number;
  readonly kind: 'start' | 'finish' | 'event';
  /** Of a start: what begins; of an event: its name. */
  readonly name: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** A reporter that also writes down what the report will tell; the file survives a kill with the checkpoints. */
export function recordHistory(reporter: Reporter, work: string): Reporter {
  const run = Date.now();
  const begin = performance.now();
  const append = (record: Pick<HistoryRecord, 'kind' | 'name' | 'fields'>): void => {
    const seconds = (performance.now() - begin) / 1000;
    const line = { run, seconds, peakBytes: process.resourceUsage().maxRSS * 1024, ...record };
    appendFileSync(join(work, HISTORY_FILE), `${JSON.stringify(line)}\n`);
  };
  return {
    ...reporter,
    start(label, total) {
      append({ kind: 'start', name: label });
      reporter.start(label, total);
    },
    finish(detail) {
      append({ kind: 'finish', name: detail ?? '' });
      reporter.finish(detail);
    },
    event(event, fields) {
      append({ kind: 'event', name: event, fields });
      reporter.event(event, fields);
    },
  };
}

/** All runs' records; a line that a kill cut short is left out. */
export function readHistory(work: string): HistoryRecord[] {
  let text: string;
  try {
    text = readFileSync(join(work, HISTORY_FILE), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return text.split('\n').flatMap((line): HistoryRecord[] => {
    try {
      return [JSON.parse(line) as HistoryRecord];
    } catch {
      return [];
    }
  });
}

/** The curve of a stage: a repeated step counts as it was computed last. */
export function lossCurves(history: readonly HistoryRecord[]): Map<string, { step: number; loss: number }[]> {
  const curves = new Map<string, Map<number, number>>();
  for (const { kind, name, fields } of history) {
    if (kind !== 'event' || name !== 'loss' || fields === undefined) continue;
    const stage = fields.stage as string;
    const curve = curves.get(stage) ?? new Map<number, number>();
    curve.set(fields.step as number, fields.total as number);
    curves.set(stage, curve);
  }
  return new Map(
    [...curves].map(([stage, curve]) => [
      stage,
      [...curve].sort(([a], [b]) => a - b).map(([step, loss]) => ({ step, loss })),
    ]),
  );
}

/** Seconds by what was started, summed over runs, and of everything. What a kill cut off counts to its last word. */
export function durations(history: readonly HistoryRecord[]): {
  readonly parts: ReadonlyMap<string, number>;
  readonly total: number;
} {
  const parts = new Map<string, number>();
  let total = 0;
  let open: { name: string; from: number } | undefined;
  history.forEach((record, index) => {
    const close = (until: number): void => {
      if (open) parts.set(open.name, (parts.get(open.name) ?? 0) + until - open.from);
      open = undefined;
    };
    if (record.kind !== 'event') close(record.seconds);
    if (record.kind === 'start') open = { name: record.name, from: record.seconds };
    if (history[index + 1]?.run !== record.run) {
      close(record.seconds);
      total += record.seconds;
    }
  });
  return { parts, total };
}

export function peakBytes(history: readonly HistoryRecord[]): number {
  return history.reduce((most, record) => Math.max(most, record.peakBytes), 0);
}
