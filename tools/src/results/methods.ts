/**
 * Every method of `speedq quantize` at every rung of group sizes, over seeds, beside the float model: quantizes what is
 * missing, evaluates it on paired questions, and prints the table as Markdown. What is unchanged is not computed
 * again, so it may be stopped and goes on.
 *
 *     npm run results:methods -- [--method M]… [--rung R]… [--seeds N] [--count N] [--model DIR] [--workers N]
 *       [--threads N] [--out DIR] [--table FILE] [--only render]
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { OptionSpecs, OptionValues } from '../cli/command.ts';
import { exitCodeOf, toSpeedqError } from '../cli/exit-codes.ts';
import { parseArguments } from '../cli/parse.ts';
import type { Evaluation, Prediction } from '../eval/evaluate.ts';
import { METHODS } from '../quantize/methods/names.ts';
import { readRecord, runJob } from './job.ts';
import { bytes, percent, table, withInterval } from './markdown.ts';
import { CALIBRATION, PICO, calibrationData, evaluation, floatJobs, testData } from './plan.ts';
import type { Job, ResultsOptions } from './plan.ts';
import { retention } from './retention.ts';
import { sideBySide } from './side-by-side.ts';

/** Schemes of all linears of encoder and language model, and the recipe whose stage settings go with them. */
const RUNGS: Readonly<Record<string, { readonly scheme: string; readonly recipe: string }>> = {
  '2bit-g16': { scheme: '2bit-g16', recipe: '2bit' },
  '2bit-g32': { scheme: '2bit-g32', recipe: '2bit' },
  '2bit-g64': { scheme: '2bit-g64', recipe: '2bit' },
  '2bit-g128': { scheme: '2bit-g128', recipe: '2bit' },
  '2bit-row': { scheme: '2bit-row', recipe: '2bit' },
  '2bit-g16-min': { scheme: '2bit-g16-min', recipe: '2bit' },
  '4bit-g32': { scheme: '4bit-g32', recipe: '4bit' },
};
const REFERENCE = 'reference';
const ALL_METHODS = [...METHODS, REFERENCE];

const OPTIONS = {
  method: { type: 'string', multiple: true, choices: ALL_METHODS, description: 'only these' },
  rung: { type: 'string', multiple: true, choices: Object.keys(RUNGS), description: 'only these' },
  seeds: { type: 'integer', min: 1, default: 3, description: 'runs of each method that draws' },
  count: { type: 'integer', min: 1, default: 5000, description: 'questions of the test' },
  model: { type: 'string', hint: 'DIR', default: PICO, description: 'the float model' },
  workers: { type: 'integer', min: 1, default: 1, description: 'commands that run side by side' },
  threads: { type: 'integer', min: 1, default: 1, description: 'threads of each quantization' },
  out: { type: 'string', hint: 'DIR', default: 'runs/methods', description: 'folder of the measurements' },
  table: { type: 'string', hint: 'FILE', description: 'also write the table there' },
  only: { type: 'string', choices: ['render'], description: 'part of the work' },
} as const satisfies OptionSpecs;

interface Cell {
  readonly rung: string;
  readonly method: string;
  readonly seed: number;
  readonly id: string;
}

function cellsOf({ seeds, method, rung }: OptionValues<typeof OPTIONS>): Cell[] {
  const methods = method.length > 0 ? method : ALL_METHODS;
  return (rung.length > 0 ? rung : Object.keys(RUNGS)).flatMap((name) =>
    methods.flatMap((one) =>
      // Rounding to nearest draws nothing.
      Array.from({ length: one === 'rtn' ? 1 : seeds }, (_, seed) => ({
        ...{ rung: name, method: one, seed },
        id: `${name}-${one}-${seed}`,
      })),
    ),
  );
}

function cellJobs(options: ResultsOptions, { id, rung, method, seed }: Cell, threads: number): Job[] {
  const model = join(options.out, 'models', id);
  const recipe = recipeFile(options, rung);
  const isReference = method === REFERENCE;
  const argv = ['quantize', options.model, '--recipe', recipe, '--method', isReference ? 'speedq' : method];
  if (isReference) argv.push('--reference');
  if (method !== 'rtn') argv.push('--data', CALIBRATION, '--seed', `${seed}`, '--threads', `${threads}`);
  const data = method === 'rtn' ? [] : [join(CALIBRATION, 'data.jsonl')];
  const beside = evaluation(options, id, model, ['--reference', options.model]);
  return [
    {
      id: `${id}-quantize`,
      argv: [...argv, '--out', model, '--force'],
      inputs: [options.model, recipe, ...data],
      outputs: [model],
    },
    { id: `${id}-inspect`, argv: ['inspect', model], inputs: [model], outputs: [] },
    { ...beside, inputs: [...beside.inputs, options.model] },
  ];
}

function recipeFile({ out }: ResultsOptions, rung: string): string {
  return join(out, 'recipes', `${rung}.json`);
}

async function writeRecipes(options: ResultsOptions): Promise<void> {
  await mkdir(join(options.out, 'recipes'), { recursive: true });
  for (const [rung, { scheme, recipe }] of Object.entries(RUNGS)) {
    const changes = { extends: recipe, schemes: { vision: scheme, language: scheme } };
    await writeFile(recipeFile(options, rung), `${JSON.stringify(changes, null, 2)}\n`);
  }
}

/** A row for each rung and method: means over seeds, their spread, and the interval of the first seed's retention. */
async function render(options: ResultsOptions, cells: readonly Cell[]): Promise<string> {
  const float = (await readRecord(options.out, 'float'))?.result as Evaluation | undefined;
  const groups = new Map<string, Cell[]>();
  for (const cell of cells) {
    const key = `${cell.rung} ${cell.method}`;
    groups.set(key, [...(groups.get(key) ?? []), cell]);
  }
  const rows: string[][] = [];
  for (const group of groups.values()) {
    const measured = (await Promise.all(group.map((cell) => measure(options, cell)))).filter(
      (one) => one !== undefined,
    );
    if (measured.length === 0) continue;
    const { rung, method } = group[0];
    const accuracies = measured.map(({ result }) => result.accuracy);
    const kls = measured.map(({ result }) => result.reference!.kl);
    const kept = float && retention(pairs(float.predictions, measured[0].result.predictions));
    rows.push([
      rung,
      method,
      `${measured.length}`,
      bytes(measured[0].fileBytes),
      `${percent(mean(accuracies))}${spread(accuracies, (value) => (100 * value).toFixed(1))}`,
      kept ? withInterval(kept.corrected, kept.correctedInterval) : '–',
      `${mean(kls).toFixed(4)}${spread(kls, (value) => value.toFixed(4))}`,
      mean(measured.map(({ result }) => result.perplexity ?? NaN)).toFixed(4),
      (mean(measured.map(({ seconds }) => seconds)) / 60).toFixed(1),
    ]);
  }
  const header = [
    ...['scheme', 'method', 'seeds', 'bytes', 'accuracy %', 'retention corrected for chance %'],
    ...['KL a token', 'perplexity', 'minutes'],
  ];
  const of = float ? `Float: accuracy ${percent(float.accuracy)} %, ${options.count} questions.\n\n` : '';
  return `${of}${table(header, rows)}\n`;
}

async function measure(options: ResultsOptions, { id }: Cell) {
  const [evaluated, quantized, inspected] = await Promise.all(
    [id, `${id}-quantize`, `${id}-inspect`].map((name) => readRecord(options.out, name)),
  );
  if (!evaluated || !quantized || !inspected) return undefined;
  const { fileBytes } = inspected.result as { fileBytes: number };
  return { result: evaluated.result as unknown as Evaluation, fileBytes, seconds: quantized.seconds ?? NaN };
}

function pairs(float: readonly Prediction[], model: readonly Prediction[]) {
  const answers = new Map(model.map((prediction) => [prediction.index, prediction]));
  return float.flatMap(({ index, hit, chance }) => {
    const other = answers.get(index);
    return other ? [{ float: hit, model: other.hit, chance: chance.blind }] : [];
  });
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** " ± " and the sample deviation, where there are several. */
function spread(values: readonly number[], format: (value: number) => string): string {
  if (values.length < 2) return '';
  const centre = mean(values);
  const square = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
  return ` ± ${format(Math.sqrt(square / (values.length - 1)))}`;
}

async function run(argv: readonly string[]): Promise<void> {
  const options = parseArguments(argv, {}, OPTIONS).options as OptionValues<typeof OPTIONS>;
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const cells = cellsOf(options);
  if (options.only !== 'render') {
    await writeRecipes(options);
    await runJob(testData(options), { ...options, log });
    await runJob(calibrationData(), { ...options, log });
    const chains = [
      floatJobs(options).slice(0, 1),
      ...cells.map((cell) => cellJobs(options, cell, options.threads)),
    ];
    await sideBySide(chains, options.workers, (job) => runJob(job, { out: options.out, log }));
  }
  const text = await render(options, cells);
  if (options.table !== undefined) await writeFile(options.table, text);
  process.stdout.write(text);
}

run(process.argv.slice(2)).catch((thrown: unknown) => {
  const error = toSpeedqError(thrown);
  process.stderr.write(`${error.message} [${error.code}]\n`);
  process.exitCode = exitCodeOf(error.code);
});
