import type { Chance } from './chance.ts';
import { wilsonInterval } from './statistics.ts';
import type { Interval } from './statistics.ts';

export interface Score {
  readonly count: number;
  readonly hits: number;
  /** 0–1. */
  readonly accuracy: number;
  /** Wilson, 95 %. */
  readonly interval: Interval;
  /** Mean of the rows' blind chance. */
  readonly chance: number;
  /** Mean over the rows that can be guessed among what the picture shows. */
  readonly presentChance?: number;
}

export interface CategoryScore extends Score {
  readonly bySubtype: Readonly<Record<string, Score>>;
}

export interface ScoredRow {
  readonly category: string;
  readonly subtype: string;
  readonly hit: boolean;
  readonly chance: Chance;
}

export function score(rows: readonly ScoredRow[]): Score {
  const hits = rows.filter(({ hit }) => hit).length;
  const present = rows.flatMap(({ chance }) => chance.present ?? []);
  return {
    count: rows.length,
    hits,
    accuracy: rows.length === 0 ? 0 : hits / rows.length,
    interval: wilsonInterval(hits, rows.length),
    chance: mean(rows.map(({ chance }) => chance.blind)),
    ...(present.length === 0 ? {} : { presentChance: mean(present) }),
  };
}

/** In alphabetical order, subtypes too. */
export function scoreByCategory(rows: readonly ScoredRow[]): Record<string, CategoryScore> {
  return mapGroups(
    rows,
    ({ category }) => category,
    (own) => ({
      ...score(own),
      bySubtype: mapGroups(own, ({ subtype }) => subtype, score),
    }),
  );
}

/** What is left of the float score above chance: 1 as good as the float model, 0 no better than a guess. */
export function correctedRetention(accuracy: number, floatAccuracy: number, chance: number): number {
  return (accuracy - chance) / (floatAccuracy - chance);
}

function mapGroups<T, R>(
  items: readonly T[],
  key: (item: T) => string,
  value: (items: readonly T[]) => R,
): Record<string, R> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  const sorted = [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([name, group]) => [name, value(group)]));
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}
