import type { Question } from '../question.ts';
import type { Benchmark, BenchmarkScore, ScoredQuestion, ScoreRow } from './types.ts';

/** MMBench's dimensions as VLMEvalKit abbreviates them. */
const ABBREVIATIONS: Readonly<Record<string, string>> = {
  coarse_perception: 'CP',
  'finegrained_perception (instance-level)': 'FP-S',
  'finegrained_perception (cross-instance)': 'FP-C',
  logic_reasoning: 'LR',
  relation_reasoning: 'RR',
  attribute_reasoning: 'AR',
};
const NO_SPLIT = 'none';

/** Columns of the data by which scores are given, and the question's field. */
export const LEVELS = [
  ['l2-category', 'subcategory'],
  ['category', 'category'],
] as const satisfies readonly (readonly [ScoreRow['level'], keyof Question])[];

/** Share of right answers by split, and in each by l2-category and category: `report_acc` of VLMEvalKit. */
export function accuracyBySplit(
  splits: Benchmark['splits'],
  scored: readonly ScoredQuestion[],
): BenchmarkScore {
  const splitOf = ({ question }: ScoredQuestion): string => question.split ?? NO_SPLIT;
  const present = new Set(scored.map(splitOf));
  const columns = [
    ...splits.filter((split) => present.has(split)),
    ...[...present].filter((one) => !splits.includes(one)).sort(),
  ];
  const rowOf = (name: string, level: ScoreRow['level'], rows: readonly ScoredQuestion[]): ScoreRow => ({
    name,
    level,
    values: columns.map((split) => percentRight(rows.filter((one) => splitOf(one) === split))),
  });
  const rows = [rowOf('Overall', 'overall', scored)];
  for (const [level, field] of LEVELS) {
    for (const [name, own] of groupBy(scored, ({ question }) => question[field])) {
      rows.push(rowOf(ABBREVIATIONS[name] ?? name, level, own));
    }
  }
  return { score: rows[0].values[0] ?? 0, metric: `accuracy (${columns[0]})`, table: { columns, rows } };
}

/** Every rotation of a question must be answered right; its first rotation stands for it in the table. */
export function circularAccuracy(
  splits: Benchmark['splits'],
  scored: readonly ScoredQuestion[],
): BenchmarkScore {
  const groups = groupBy(scored, ({ question }) => circularGroup(question));
  const whole = [...groups].flatMap(([group, rotations]): ScoredQuestion[] => {
    const main = rotations.find(({ question }) => question.index === group);
    return main === undefined ? [] : [{ question: main.question, hit: rotations.every(({ hit }) => hit) }];
  });
  const score = accuracyBySplit(splits, whole);
  return { ...score, metric: `circular ${score.metric}` };
}

/** Rotations are numbered a million apart, where the data does not say. */
export function circularGroup({ index, group }: Question): string {
  return group === undefined ? `${Number(index) % 1e6}` : `${Number(group)}`;
}

/** In alphabetical order; those without a name are left out. */
export function groupBy<T>(items: readonly T[], key: (item: T) => string | undefined): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const name = key(item);
    if (name === undefined) continue;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [item]);
    else group.push(item);
  }
  return new Map([...groups].sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function percentRight(rows: readonly { readonly hit: boolean }[]): number | null {
  return rows.length === 0 ? null : (100 * rows.filter(({ hit }) => hit).length) / rows.length;
}
