/**
 * Methods of `speedq quantize` against each other: quantizes every cell (method/rung/seed, or one more /change),
 * evaluates it beside the float model on the same questions, adds a line to a file of results, and renders all that is
 * in such files as a page and a plot. Each cell is a chain of commands of its own, so cells run side by side and on
 * several machines, and what is unchanged is not computed again.
 *
 *     npm run results:methods -- [--cell METHOD/RUNG/SEED[/CHANGE]]… [--method M]… [--rung R]… [--seeds N]
 *       [--schedule recipe|short] [--count N] [--conversations N] [--model DIR] [--workers N] [--out DIR]
 *       [--results FILE]… [--only run|render] [--docs FILE] [--plot FILE]
 */
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { OptionSpecs, OptionValues } from '../cli/command.ts';
import { exitCodeOf, toSpeedqError } from '../cli/exit-codes.ts';
import { parseArguments } from '../cli/parse.ts';
import { cellJobs, dataOf } from './cell-jobs.ts';
import { appendResult, cellResult, readResults } from './cell-result.ts';
import { ALL_METHODS, RUNGS, cellsOf, parseCell } from './cells.ts';
import type { Cell } from './cells.ts';
import { runJob } from './job.ts';
import { renderMethods } from './methods-page.ts';
import { renderPlot } from './methods-plot.ts';
import { PICO, floatJobs, testData } from './plan.ts';
import { sideBySide } from './side-by-side.ts';

const OPTIONS = {
  cell: { type: 'string', multiple: true, description: 'only these, in this order' },
  method: { type: 'string', multiple: true, choices: ALL_METHODS, description: 'only these' },
  rung: { type: 'string', multiple: true, choices: Object.keys(RUNGS), description: 'only these' },
  seeds: { type: 'integer', min: 1, default: 3, description: 'runs of each method that draws' },
  schedule: {
    type: 'string',
    choices: ['recipe', 'short'],
    default: 'short',
    description: 'how long methods train',
  },
  count: { type: 'integer', min: 1, default: 1000, description: 'questions of the test' },
  conversations: { type: 'integer', min: 1, default: 12_000, description: 'to train on' },
  model: { type: 'string', hint: 'DIR', default: PICO, description: 'the float model' },
  workers: { type: 'integer', min: 1, default: 1, description: 'cells that run side by side, a thread each' },
  out: { type: 'string', hint: 'DIR', default: 'runs/methods', description: 'folder of the measurements' },
  results: { type: 'string', hint: 'FILE', multiple: true, description: 'lines of results; the first grows' },
  only: { type: 'string', choices: ['run', 'render'], description: 'part of the work' },
  docs: { type: 'string', hint: 'FILE', default: 'docs/methods.md', description: 'page to write' },
  plot: { type: 'string', hint: 'FILE', default: 'docs/methods.svg', description: 'plot to write' },
} as const satisfies OptionSpecs;
type Options = OptionValues<typeof OPTIONS>;

async function measure(options: Options, cells: readonly Cell[], results: string): Promise<void> {
  const { out, workers } = options;
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  await runJob(testData(options), { out, log });
  const data = new Map(cells.map((cell) => dataOf(options, cell)).map((job) => [job.id, job]));
  for (const job of data.values()) await runJob(job, { out, log });
  // Every cell is compared with the float model's answers.
  const float = runJob(floatJobs(options)[0], { out, log });
  const chains = cells.map((cell) => async () => {
    for (const job of await cellJobs(options, cell)) await runJob(job, { out, log });
    await float;
    await appendResult(results, await cellResult(options, cell));
  });
  await Promise.all([float, sideBySide(chains, workers)]);
}

async function run(argv: readonly string[]): Promise<void> {
  const options = parseArguments(argv, {}, OPTIONS).options as Options;
  const { only, docs, plot } = options;
  const results = options.results.length > 0 ? options.results : [`${options.out}/results.jsonl`];
  const cells =
    options.cell.length > 0
      ? options.cell.map(parseCell)
      : cellsOf(
          options.method.length > 0 ? options.method : ALL_METHODS,
          options.rung.length > 0 ? options.rung : Object.keys(RUNGS),
          options.seeds,
        );
  if (only !== 'render') await measure(options, cells, results[0]);
  if (only === 'run') return;
  const found = await readResults(results);
  await writeFile(plot, renderPlot(found));
  await writeFile(docs, renderMethods(found, basename(plot)));
}

run(process.argv.slice(2)).catch((thrown: unknown) => {
  const error = toSpeedqError(thrown);
  process.stderr.write(`${error.message} [${error.code}]\n`);
  process.exitCode = exitCodeOf(error.code);
});
