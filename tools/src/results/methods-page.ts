import type { CellResult } from './cell-result.ts';
import { CHANGES, REFERENCE, RUNGS, SCHEDULES } from './cells.ts';
import type { ScheduleName } from './cells.ts';
import { bytes, percent, table, withInterval } from './markdown.ts';
import { deviation, groupRuns, hitShares, kl, klRatio, mean, retentionOf } from './methods-statistics.ts';
import type { Group, Ratio } from './methods-statistics.ts';

/** docs/methods.md: what the cells came to, with their commands. Throws where there are none. */
export function renderMethods(results: readonly CellResult[], plot: string): string {
  const groups = groupRuns(results);
  const schedules = (Object.keys(SCHEDULES) as ScheduleName[]).filter((name) =>
    groups.some(({ schedule }) => schedule === name),
  );
  const sections = schedules.map((name) => {
    const own = groups.filter(({ schedule }) => schedule === name);
    return scheduleSection(name, own);
  });
  return `${[introduction(results, plot), ...sections, commands(results)].join('\n\n')}\n`;
}

function introduction([{ questions, floatPerplexity }]: readonly CellResult[], plot: string): string {
  const float = percent(mean(Array.from(questions.floatHits, Number)));
  return `# Methods measured

This page and its plot are written by \`npm run results:methods\`. Every method of [quantization.md](quantization.md) on
the embedded model at several group sizes: ${questions.floatHits.length} questions of the test split, the same for all;
the float model answers ${float} % of them rightly, with a perplexity of ${floatPerplexity.toFixed(4)} on the right
answers. Test, scoring, chance and KL are those of [results.md](results.md). \`${REFERENCE}\` is \`speedq --reference\`.

- **±** is the sample deviation over seeds. Intervals in parentheses are 95 %, by the paired bootstrap over questions,
  each question's value the mean over seeds.
- **KL ratios** are of KL a token: below 1 is closer to the float model. Where an interval leaves out 1, the order is no
  accident of the questions drawn.
- **Minutes** are of processor, of one thread, for quantizing.

![KL to the float model against bytes, by method](${plot})`;
}

function scheduleSection(name: ScheduleName, groups: readonly Group[]): string {
  const plain = groups.filter(({ change }) => change === undefined);
  const changed = groups.filter(({ change }) => change !== undefined);
  const title = name === 'recipe' ? 'Trained as the recipes say' : 'Trained briefly';
  const does = name === 'recipe' ? '' : `\n\nAll trained methods have ${SCHEDULES[name].does}.`;
  return [
    `## ${title}${does}`,
    overview(plain),
    categories(plain),
    ...(changed.length > 0 ? [changes(changed, plain)] : []),
  ].join('\n\n');
}

function overview(groups: readonly Group[]): string {
  const rows = sorted(groups).map((group) => {
    const { runs, method, rung } = group;
    const kept = retentionOf(group);
    const beside = (other: string) => {
      const found = groups.find((one) => one.rung === rung && one.method === other);
      return found === undefined || other === method ? '–' : ratio(klRatio(group, found));
    };
    return [
      `${rung} ${method}`,
      `${runs.length}`,
      runs[0].linearBits.toFixed(3).replace(/\.?0+$/, ''),
      bytes(runs[0].fileBytes),
      percent(mean(hitShares(group))) + spread(runs.map(accuracy), (value) => (100 * value).toFixed(1)),
      withInterval(kept.corrected, kept.correctedInterval),
      mean(runs.map(kl)).toFixed(5) + spread(runs.map(kl), (value) => value.toFixed(5)),
      beside('rtn'),
      beside(REFERENCE),
      mean(runs.map(({ perplexity }) => perplexity)).toFixed(4),
      (mean(runs.map(({ processorSeconds }) => processorSeconds)) / 60).toFixed(1),
    ];
  });
  const header = [
    ...[
      '',
      'seeds',
      'bits a weight',
      'bytes',
      'accuracy %',
      'retention corrected for chance %',
      'KL a token',
    ],
    ...['KL over rtn', `KL over ${REFERENCE}`, 'perplexity', 'minutes'],
  ];
  return table(header, rows);
}

function categories(groups: readonly Group[]): string {
  const names = groups[0].runs[0].questions.categories;
  const all = [...new Set(names)].sort();
  const shareOf = (values: readonly number[], category: string) =>
    percent(mean(values.filter((_, i) => names[i] === category)));
  const float = Array.from(groups[0].runs[0].questions.floatHits, Number);
  const rows = [
    ['float', ...all.map((category) => shareOf(float, category))],
    ...sorted(groups).map((group) => {
      const hits = hitShares(group);
      return [`${group.rung} ${group.method}`, ...all.map((category) => shareOf(hits, category))];
    }),
  ];
  return `Accuracy by category, %:\n\n${table(['', ...all], rows)}`;
}

function changes(changed: readonly Group[], plain: readonly Group[]): string {
  const rows = changed.flatMap((group) => {
    const { method, rung, change, runs } = group;
    const base = plain.find((one) => one.method === method && one.rung === rung);
    if (base === undefined) return [];
    // Only seeds that both have: what the seed does is no effect of the change.
    const seeds = new Set(runs.map(({ cell }) => cell.seed));
    const shared = base.runs.filter(({ cell }) => seeds.has(cell.seed));
    if (shared.length === 0) return [];
    return [
      [
        `${rung} ${method}: ${CHANGES[change!].does}`,
        `${runs.length}`,
        mean(runs.map(kl)).toFixed(5),
        ratio(klRatio(group, { ...base, runs: shared })),
        mean(runs.map(heldOut)).toFixed(5),
        mean(shared.map(heldOut)).toFixed(5),
        percent(mean(hitShares(group))),
        (mean(runs.map(({ processorSeconds }) => processorSeconds)) / 60).toFixed(1),
      ],
    ];
  });
  const header = [
    'one thing changed',
    'seeds',
    'KL a token',
    'KL over unchanged',
    'KL on kept-out data',
    'unchanged',
    'accuracy %',
    'minutes',
  ];
  return `### What each part is worth\n\n${table(header, rows)}`;
}

function sorted(groups: readonly Group[]): Group[] {
  const rungs = Object.keys(RUNGS);
  const worst = (group: Group) => -mean(group.runs.map(kl));
  return [...groups].sort((a, b) => rungs.indexOf(a.rung) - rungs.indexOf(b.rung) || worst(a) - worst(b));
}

function accuracy({ questions: { hits } }: CellResult): number {
  return mean(Array.from(hits, Number));
}

function heldOut({ heldOutKl = NaN }: CellResult): number {
  return heldOutKl;
}

function ratio({ value, interval: [low, high] }: Ratio): string {
  return `${value.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`;
}

/** " ± " and the sample deviation, where there are several. */
function spread(values: readonly number[], format: (value: number) => string): string {
  return values.length < 2 ? '' : ` ± ${format(deviation(values))}`;
}

function commands(results: readonly CellResult[]): string {
  const lines = [results[0].testCommand, ...results.map(({ quantizeCommand }) => quantizeCommand)];
  return `## Commands

\`\`\`sh
npm run results:methods -- ${results.map(({ cell }) => `--cell ${cell.id}`).join(' ')}
\`\`\`

which runs, with recipe files that it writes:

\`\`\`sh
${lines.join('\n')}
\`\`\``;
}
