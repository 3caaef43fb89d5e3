/**
 * VLMEvalKit's own functions beside our scores: the small tables of every data set, our files of predictions read by
 * its pandas, and every figure of its reports compared with ours.
 *
 *     npm run check:vlmevalkit -- --python PYTHON --checkout FOLDER
 *
 * PYTHON has pandas and Pillow; FOLDER holds VLMEvalKit's package `vlmeval`.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chooseBenchmark } from '../../tools/src/eval/benchmarks/index.ts';
import { writePredictions } from '../../tools/src/eval/predictions.ts';
import { readBenchmarkQuestions } from '../../tools/src/eval/question.ts';
import { Table } from '../../tools/src/eval/table/table.ts';
import { smallBenchmarks } from '../../tools/src/eval/testing/benchmark-tables.ts';
import type { SmallBenchmark } from '../../tools/src/eval/testing/benchmark-tables.ts';
import { Report, runPython, withTemporaryFolder } from './support.ts';

/** In percent: both sum in float64, not in the same order. */
const TOLERANCE = 1e-9;

const { values: options } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    checkout: { type: 'string', default: 'VLMEvalKit' },
  },
});

interface Scored {
  readonly name: string;
  /** By row and column of the report. */
  readonly scores: Readonly<Record<string, number>>;
}

await withTemporaryFolder(async (folder) => {
  const ours = new Map<string, ReadonlyMap<string, number>>();
  for (const small of await smallBenchmarks()) ours.set(small.name, await score(folder, small));
  const results = runPython<Scored>(
    options.python,
    'vlmevalkit_scores.py',
    options.checkout,
    folder,
    ...ours.keys(),
  );
  const report = new Report();
  for (const { name, scores } of results) {
    const own = ours.get(name)!;
    const keys = Object.keys(scores);
    const equal = keys.filter((key) => Math.abs((own.get(key) ?? NaN) - scores[key]) <= TOLERANCE);
    const wrong = keys
      .filter((key) => !equal.includes(key))
      .map((key) => `${key} ${own.get(key)} for ${scores[key]}`);
    const figure = [`${equal.length} of ${keys.length} scores equal`, ...wrong].join('; ');
    report.check(name, keys.length > 0 && wrong.length === 0, figure);
  }
  report.check('data sets', results.length === ours.size, `${results.length} of ${ours.size}`);
  report.finish();
});

/** Writes data and predictions, and returns our report by row and column. */
async function score(folder: string, { name, tsv, predictions }: SmallBenchmark) {
  const path = join(folder, `${name}.tsv`);
  await writeFile(path, tsv);
  const table = await Table.open(path);
  try {
    const benchmark = chooseBenchmark(undefined, path)!;
    const said = new Map(table.rows.map(({ index }, i) => [index, predictions[i]]));
    const rows = readBenchmarkQuestions(table);
    const asked = new Map(rows.map(({ index }) => [index, said.get(index)!]));
    await writePredictions(join(folder, `model_${name}.tsv`), table, asked);
    const scored = rows.map((question) => ({
      question,
      hit: benchmark.isHit(question, said.get(question.index)!),
    }));
    const { columns, rows: lines } = benchmark.summarize(scored).table;
    return new Map(
      lines.flatMap(({ name, values }) =>
        columns.map((column, i) => [`${name}/${column}`, values[i] ?? NaN] as const),
      ),
    );
  } finally {
    await table.close();
  }
}
