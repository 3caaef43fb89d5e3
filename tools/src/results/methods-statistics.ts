import { createRandom } from '../data/random.ts';
import type { Interval } from '../eval/statistics.ts';
import type { CellResult } from './cell-result.ts';
import type { CellOptions } from './cell-jobs.ts';
import { middle, retention } from './retention.ts';
import type { Retention } from './retention.ts';

/** Runs of one method at one rung, over seeds. */
export interface Group {
  readonly schedule: CellOptions['schedule'];
  readonly method: string;
  readonly rung: string;
  readonly change?: string;
  readonly runs: readonly CellResult[];
}

export function groupRuns(results: readonly CellResult[]): Group[] {
  const groups = new Map<string, CellResult[]>();
  for (const result of results) {
    const { method, rung, change } = result.cell;
    const key = [result.schedule, method, rung, change].join(' ');
    groups.set(key, [...(groups.get(key) ?? []), result]);
  }
  return [...groups.values()].map((runs) => {
    const { method, rung, change } = runs[0].cell;
    return { schedule: runs[0].schedule, method, rung, change, runs };
  });
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Sample deviation; NaN of a single value. */
export function deviation(values: readonly number[]): number {
  if (values.length < 2) return NaN;
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}

/** KL a token of one run, in nats. */
export function kl({ questions }: CellResult): number {
  return sum(questions.kl) / sum(questions.tokens);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Shares of right answers, question by question, over the runs. */
export function hitShares({ runs }: Group): number[] {
  return Array.from(runs[0].questions.floatHits, (_, i) =>
    mean(runs.map(({ questions }) => Number(questions.hits[i]))),
  );
}

export function retentionOf(group: Group): Retention {
  const { floatHits, chance } = group.runs[0].questions;
  return retention(
    hitShares(group).map((model, i) => ({ float: Number(floatHits[i]), model, chance: chance[i] })),
  );
}

export interface Ratio {
  readonly value: number;
  readonly interval: Interval;
}

const RESAMPLES = 2000;
const SEED = 1;

/** One group's KL over another's on the same questions; 95 % by the percentile bootstrap over questions (seeded). */
export function klRatio(group: Group, other: Group): Ratio {
  const summed = ({ runs }: Group) =>
    runs[0].questions.kl.map((_, i) => mean(runs.map(({ questions }) => questions.kl[i])));
  const [above, below] = [summed(group), summed(other)];
  const random = createRandom(SEED);
  const samples = Array.from({ length: RESAMPLES }, () => {
    let [a, b] = [0, 0];
    for (let i = 0; i < above.length; i++) {
      const drawn = random.int(above.length);
      a += above[drawn];
      b += below[drawn];
    }
    return a / b;
  });
  return { value: sum(above) / sum(below), interval: middle(samples) };
}
