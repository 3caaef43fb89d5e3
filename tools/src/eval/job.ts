import { basename, dirname, join, resolve } from 'node:path';
import { createRandom } from '../data/random.ts';
import { withModelFolder } from '../model-folder.ts';
import type { Output } from '../output.ts';
import type { Progress } from '../progress.ts';
import { hashModel } from '../quantize/fingerprint.ts';
import type { Answered } from './ask.ts';
import { evaluateBenchmark } from './benchmark-evaluation.ts';
import { chooseBenchmark } from './benchmarks/index.ts';
import type { Benchmark } from './benchmarks/index.ts';
import type { EngineKind } from './engine.ts';
import { evaluateModel } from './evaluate.ts';
import { openModel } from './open-model.ts';
import type { OpenModel } from './open-model.ts';
import type { PictureMode } from './pictures.ts';
import { writeJsonLines, writePredictions } from './predictions.ts';
import { printBenchmark, printEvaluation } from './print.ts';
import { promptStyleOf } from './prompts.ts';
import type { PromptStyle } from './prompts.ts';
import { readBenchmarkQuestions, readQuestions } from './question.ts';
import type { Question } from './question.ts';
import { RunLog } from './run-log.ts';
import { Table } from './table/table.ts';

/** What `speedq eval --data` was asked for. */
export interface TableJob {
  readonly model: string;
  readonly data: string;
  readonly dataset?: string;
  readonly engine: EngineKind;
  readonly limit?: number;
  readonly out?: string;
  readonly predictions?: string;
  readonly reference?: string;
  readonly blankPictures: boolean;
  readonly shufflePictures?: number;
  readonly prompts?: PromptStyle;
  readonly maxNewTokens?: number;
  readonly batch: number;
  readonly seed: number;
  readonly threads?: number;
  readonly force: boolean;
}

interface Terminal {
  readonly output: Output;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** VLMEvalKit lets InternVL say that much; its data sets need longer contexts than a chat. */
const BENCHMARK_NEW_TOKENS = 4096;
const BENCHMARK_CONTEXT = 24_576;
const OWN_NEW_TOKENS = 128;

/** Evaluates a model on a table, prints the scores and returns them for programs. */
export async function evaluateTable(job: TableJob, terminal: Terminal): Promise<Record<string, unknown>> {
  const table = await Table.open(job.data);
  const opened: OpenModel[] = [];
  try {
    const benchmark = chooseBenchmark(job.dataset, job.data);
    const all = benchmark ? readBenchmarkQuestions(table) : readQuestions(table, dirname(resolve(job.data)));
    const rows = sample(all, benchmark, job);
    const open = async (path: string): Promise<OpenModel> => {
      const maxContext = benchmark === undefined ? undefined : BENCHMARK_CONTEXT;
      const model = await openModel(path, job.engine, { threads: job.threads, maxContext });
      opened.push(model);
      return model;
    };
    const model = await open(job.model);
    const reference = job.reference === undefined ? undefined : await open(job.reference);
    const style = job.prompts ?? promptStyleOf(rows);
    const pictures = pictureMode(job);
    const maxNewTokens = job.maxNewTokens ?? (benchmark ? BENCHMARK_NEW_TOKENS : OWN_NEW_TOKENS);
    const log = await openLog(job, table, {
      dataset: benchmark?.name ?? style,
      pictures,
      shuffleSeed: job.shufflePictures,
      engine: job.engine,
      limit: job.limit,
      seed: job.limit === undefined ? undefined : job.seed,
      maxNewTokens,
      batch: job.batch,
    });
    const task = terminal.progress.start(`eval ${model.name}`, rows.length);
    const shared = {
      rows,
      model,
      reference,
      pictures,
      seed: job.shufflePictures,
      maxNewTokens,
      batch: job.batch,
      log,
      signal: terminal.signal,
      onProgress: (done: number, hits: number) =>
        task.update(done, `${((100 * hits) / done).toFixed(1)} % right`),
    };
    try {
      const found = benchmark
        ? await runBenchmark({ ...shared, benchmark }, terminal.output)
        : await runOwn({ ...shared, style }, terminal.output);
      task.finish();
      found.print();
      if (job.out !== undefined) await writeJsonLines(job.out, found.lines);
      if (job.predictions !== undefined) await writePredictions(job.predictions, table, found.predictions);
      await log?.remove();
      const { kind, description } = model.engine;
      return {
        ...found.result,
        engine: kind,
        adapter: description,
        out: job.out,
        predictions: job.predictions,
      };
    } catch (error) {
      await log?.close();
      throw error;
    }
  } finally {
    for (const model of opened) model.engine.destroy();
    await table.close();
  }
}

interface Found {
  /** Of the command. */
  readonly result: Record<string, unknown>;
  readonly lines: readonly object[];
  readonly predictions: ReadonlyMap<string, string>;
  print(): void;
}

async function runOwn(options: Parameters<typeof evaluateModel>[0], output: Output): Promise<Found> {
  const { predictions, ...evaluation } = await evaluateModel(options);
  return {
    result: { ...evaluation, prompts: options.style },
    lines: predictions,
    predictions: new Map(predictions.map(({ index, prediction }) => [index, prediction])),
    print: () => printEvaluation(evaluation, output),
  };
}

async function runBenchmark(
  options: Parameters<typeof evaluateBenchmark>[0],
  output: Output,
): Promise<Found> {
  const { answers, ...evaluation } = await evaluateBenchmark(options);
  return {
    result: evaluation,
    lines: answers,
    predictions: new Map(answers.map(({ index, prediction }) => [index, prediction])),
    print: () => printBenchmark(evaluation, output),
  };
}

function pictureMode({ blankPictures, shufflePictures }: TableJob): PictureMode {
  if (blankPictures) return 'blank';
  return shufflePictures === undefined ? 'own' : 'shuffled';
}

/** Beside --out; without it nothing is kept. */
async function openLog(
  { model, reference, out, force }: TableJob,
  table: Table,
  settings: Readonly<Record<string, unknown>>,
): Promise<RunLog<Answered> | undefined> {
  if (out === undefined) return undefined;
  const fingerprint = {
    model: await withModelFolder(model, hashModel),
    reference: reference === undefined ? null : await withModelFolder(reference, hashModel),
    data: table.sha256,
    settings,
  };
  return RunLog.open(join(dirname(out), `.${basename(out)}.answers`), fingerprint, force);
}

/** In the order of the file; questions that only count together are drawn together. */
function sample(rows: Question[], benchmark: Benchmark | undefined, { limit, seed }: TableJob): Question[] {
  if (limit === undefined || limit >= rows.length) return rows;
  const unitOf = benchmark?.unit ?? (({ index }: Question) => index);
  const units = createRandom(seed).shuffle([...new Set(rows.map(unitOf))]);
  const sizes = new Map<string, number>();
  for (const row of rows) sizes.set(unitOf(row), (sizes.get(unitOf(row)) ?? 0) + 1);
  const kept = new Set<string>();
  let count = 0;
  for (const unit of units) {
    if (count > 0 && count + sizes.get(unit)! > limit) break;
    kept.add(unit);
    count += sizes.get(unit)!;
  }
  return rows.filter((row) => kept.has(unitOf(row)));
}
