import type { Output } from '../output.ts';
import type { BenchmarkEvaluation } from './benchmark-evaluation.ts';
import type { ComparisonSummary } from './comparison.ts';
import type { Evaluation } from './evaluate.ts';
import type { TextScore } from './perplexity.ts';
import type { Score } from './scores.ts';

/** Our own scores, with what chance would give. */
export function printEvaluation(evaluation: Omit<Evaluation, 'predictions'>, output: Output): void {
  const { byCategory, perplexity, reference } = evaluation;
  const rows = [['', 'right', 'of', 'accuracy', '95 %', 'chance', 'among what is there']];
  for (const [category, own] of Object.entries(byCategory)) {
    rows.push(scoreCells(category, own));
    const subtypes = Object.entries(own.bySubtype);
    if (subtypes.length > 1) for (const [name, part] of subtypes) rows.push(scoreCells(`  ${name}`, part));
  }
  rows.push(scoreCells('all', evaluation));
  output.table(rows, [1, 2, 3, 4, 5, 6]);
  output.print();
  if (perplexity !== undefined) output.print(`perplexity of the right answers ${perplexity.toFixed(4)}`);
  if (reference !== undefined) printComparison(reference, output);
}

function printComparison(reference: ComparisonSummary, output: Output): void {
  output.print(
    `reference: perplexity ${reference.referencePerplexity.toFixed(4)}, ` +
      `KL ${reference.kl.toExponential(3)} nats per token over ${reference.answerTokens} tokens`,
  );
  output.print(
    `agreement: ${percent(reference.topAgreement)} of tokens, ${percent(reference.answerAgreement)} of answers`,
  );
}

function scoreCells(
  name: string,
  { hits, count, accuracy, interval, chance, presentChance }: Score,
): string[] {
  return [
    name,
    `${hits}`,
    `${count}`,
    percent(accuracy),
    `${percent(interval[0])}–${percent(interval[1])}`,
    percent(chance),
    presentChance === undefined ? '' : percent(presentChance),
  ];
}

function percent(value: number): string {
  return `${(100 * value).toFixed(1)} %`;
}

/** As VLMEvalKit tabulates them, in percent; of OCRBench counts. */
export function printBenchmark(evaluation: Omit<BenchmarkEvaluation, 'answers'>, output: Output): void {
  const { dataset, count, score, metric, table, reference } = evaluation;
  const indent = { overall: '', 'l2-category': '  ', category: '    ' };
  output.table(
    [
      ['', ...table.columns],
      ...table.rows.map(({ name, level, values }) => [
        `${indent[level]}${name}`,
        ...values.map((value) =>
          value === null ? '' : Number.isInteger(value) ? `${value}` : value.toFixed(2),
        ),
      ]),
    ],
    table.columns.map((_, i) => i + 1),
  );
  output.print();
  output.print(`${dataset}: ${score.toFixed(2)}, ${metric}, of ${count} questions`);
  if (reference !== undefined) printComparison(reference, output);
}

/** Perplexity, and what was lost against the reference. */
export function printTextScore({ tokens, perplexity, reference }: TextScore, output: Output): void {
  output.print(`perplexity ${perplexity.toFixed(4)} over ${tokens} tokens`);
  if (reference === undefined) return;
  output.print(
    `reference: perplexity ${reference.perplexity.toFixed(4)}, KL ${reference.kl.toExponential(3)} nats per token`,
  );
  output.print(`agreement: ${percent(reference.topAgreement)} of tokens`);
}
