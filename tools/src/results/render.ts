import type { Evaluation } from '../eval/evaluate.ts';
import type { CategoryScore, Score } from '../eval/scores.ts';
import { wilsonInterval } from '../eval/statistics.ts';
import { accuracy, bytes, percent, table, withInterval } from './markdown.ts';
import type { Measurements, MeasuredVariant } from './measurements.ts';
import { averageBits, linearBits } from './storage.ts';

/** The aims of the float model, in percent. */
const AIMS = [
  { categories: ['what', 'colour', 'at', 'bar'], aim: 90 },
  { categories: ['count', 'where', 'exists'], aim: 80 },
];

/** docs/results.md: everything that was measured, with the commands that measured it. */
export function renderResults(measurements: Measurements, runner: string): string {
  return `${[
    introduction(runner),
    floatSection(measurements),
    quantizedSection(measurements),
    commands(measurements),
  ]
    .filter((section) => section !== '')
    .join('\n\n')}\n`;
}

function introduction(runner: string): string {
  return `# Results

This page is written by \`${runner}\`: it draws the test, runs the commands listed at the end, keeps each result in
\`runs/results\` and repeats only what has changed since.

- **Test.** Questions of our own generator from its test split: no picture content and no question without picture
  among them is ever drawn for training (a content belongs to the test by its hash), one question a picture, no
  question twice about equal contents.
- **Answers** are greedy and computed in float32 by onnxruntime on the CPU, packed models from the float values that
  their codes stand for; the WebGPU kernels are held to the same tokens by \`tests/parity/greedy.gpu.test.ts\`.
- **Scoring.** Multiple choice by its letter; yes or no by that word; everything else must be the right text as a
  whole (case, spacing and closing mark aside).
- **Intervals** in parentheses are 95 %: Wilson's for accuracies, the paired bootstrap over questions for retention.
- **Chance** is a guess without looking: one of the options, one of yes and no, or the most frequent answer to the
  other questions of that kind. **Among what is there** is picking one of the objects, places or bars that the picture
  shows, where that is a strategy.`;
}

function floatSection({ float }: Measurements): string {
  const own = float.float?.evaluation;
  if (own === undefined) return '';
  const blank = float['float-blank']?.evaluation;
  const shuffled = float['float-shuffled']?.evaluation;
  const row = (name: string, pick: (from: Evaluation) => Score | undefined): string[] => {
    const mine = pick(own)!;
    const others = [blank, shuffled].map((from) => accuracy(from && pick(from)));
    const chances = [percent(mine.chance), percent(mine.presentChance)];
    return [name, `${mine.count}`, accuracy(mine), ...others, ...chances];
  };
  const rows: string[][] = [];
  const subtypes: string[][] = [];
  for (const [category, { bySubtype }] of Object.entries(own.byCategory)) {
    rows.push(row(category, (from) => from.byCategory[category]));
    for (const subtype of Object.keys(bySubtype)) {
      subtypes.push(row(`${category}: ${subtype}`, (from) => from.byCategory[category]?.bySubtype[subtype]));
    }
  }
  rows.push(row('**all**', (from) => from));
  rows.push(row('with a picture', (from) => from.withPictures));
  const header = [
    '%',
    'questions',
    'own picture',
    'grey picture',
    'shuffled pictures',
    'chance',
    'among what is there',
  ];
  const aims = AIMS.map(({ categories, aim }) => {
    const { hits, count } = pooled(own.byCategory, categories);
    const value = withInterval(hits / count, wilsonInterval(hits, count));
    return `- ${categories.join(', ')} together: ${value} %; the aim is ${aim} %.`;
  });
  return `## The float model

${table(header, rows)}

${aims.join('\n')}

By subtype:

${table(header, subtypes)}`;
}

function pooled(
  byCategory: Readonly<Record<string, CategoryScore>>,
  categories: readonly string[],
): { hits: number; count: number } {
  const own = categories.flatMap((category) => byCategory[category] ?? []);
  return {
    hits: own.reduce((sum, { hits }) => sum + hits, 0),
    count: own.reduce((sum, { count }) => sum + count, 0),
  };
}

function quantizedSection({ float, variants }: Measurements): string {
  const own = float.float?.evaluation;
  if (own === undefined || variants.length === 0) return '';
  const overview = variants.map((measured) => {
    const { variant, evaluation, retention, storage, fileBytes } = measured;
    const { reference } = evaluation;
    return [
      variant.id,
      linearBits(storage).toFixed(4).replace(/0+$/, ''),
      averageBits(storage).toFixed(2),
      bytes(fileBytes),
      accuracy(evaluation),
      withInterval(retention.raw, retention.rawInterval),
      withInterval(retention.corrected, retention.correctedInterval),
      reference!.kl.toFixed(5),
      reference!.perplexity.toFixed(4),
      percent(reference!.topAgreement),
      percent(reference!.answerAgreement),
    ];
  });
  const perplexity = variants[0].evaluation.reference!.referencePerplexity.toFixed(4);
  overview.unshift(['float', '16', '16', '', accuracy(own), '100', '100', '0', perplexity, '100', '100']);
  const header = [
    '',
    'bits a weight: linears',
    'on average',
    'bytes of the folder',
    'accuracy %',
    'retention %',
    'corrected for chance %',
    'KL a token (nats)',
    'perplexity',
    'same tokens %',
    'same answers %',
  ];
  const categories = Object.keys(own.byCategory);
  const names = variants.map(({ variant }) => variant.id);
  const byCategory = categories.map((category) => [
    category,
    accuracy(own.byCategory[category]),
    ...variants.map(({ evaluation }) => accuracy(evaluation.byCategory[category])),
  ]);
  const kept = categories.map((category) => [
    category,
    ...variants.map(({ categoryRetention }) => {
      const { raw, corrected } = categoryRetention[category];
      return `${percent(raw)} / ${percent(corrected)}`;
    }),
  ]);
  return `## Quantized

\`rtn\` rounds to nearest, \`speedq\` is trained in three stages; embedding and head have 4 bits in all of them and the
projector stays fp16. KL is that of the float model's next-token distribution to the quantized one's, the mean over the
tokens of the right answers (their end included) under teacher forcing; perplexity is of the same tokens. "Same tokens"
counts where both hold the same token most probable, "same answers" whole greedy answers.

${table(header, overview)}

${klRatios(variants).join('\n')}

Accuracy by category:

${table(['%', 'float', ...names], byCategory)}

Retention of the float score by category, raw / corrected for chance:

${table(['%', ...names], kept)}`;
}

function klRatios(variants: readonly MeasuredVariant[]): string[] {
  const kl = new Map(variants.map(({ variant, evaluation }) => [variant.id, evaluation.reference!.kl]));
  return [...new Set(variants.map(({ variant }) => variant.recipe))].flatMap((recipe) => {
    const [ours, plain] = [kl.get(`${recipe}-speedq`), kl.get(`${recipe}-rtn`)];
    if (ours === undefined || plain === undefined) return [];
    return [`- ${recipe}: the KL of speedq is ${(ours / plain).toFixed(2)} of rtn's.`];
  });
}

function commands({ testCommand, calibrationCommand, float, variants }: Measurements): string {
  const lines = [
    testCommand,
    calibrationCommand ?? '',
    ...Object.values(float).map(({ command }) => command),
    ...variants.flatMap(({ quantizeCommand, command }) => [quantizeCommand, command]),
  ].filter((line) => line !== '');
  return `## Commands

\`\`\`sh
${lines.join('\n')}
\`\`\``;
}
