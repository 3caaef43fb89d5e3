import { SpeedqError } from '@speedq/format';
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Evaluation } from '../eval/evaluate.ts';
import type { Divergence } from '../quantize/job.ts';
import type { StorageRow } from '../packing/summary.ts';
import { recordId } from './cell-jobs.ts';
import type { Cell, ScheduleName } from './cells.ts';
import type { CellOptions } from './cell-jobs.ts';
import { readRecord } from './job.ts';
import { readPredictions } from './measurements.ts';
import { averageBits, linearBits } from './storage.ts';

/** What a cell came to: a line of a file, so that files of several machines may be put one behind the other. */
export interface CellResult {
  readonly cell: Cell;
  readonly schedule: ScheduleName;
  readonly testCommand: string;
  readonly quantizeCommand: string;
  /** Of processors, for quantizing: what other work on the machine changes little. */
  readonly processorSeconds: number;
  readonly fileBytes: number;
  /** Of quantized linears, of all parameters. */
  readonly linearBits: number;
  readonly averageBits: number;
  /** KL to the float model on conversations kept out of the training data: what settings are chosen by. */
  readonly heldOutKl?: number;
  readonly perplexity: number;
  readonly floatPerplexity: number;
  /** Question by question, in the test's order. */
  readonly questions: {
    readonly categories: readonly string[];
    /** A digit each: 1 for a right answer; of this model and of the float one. */
    readonly hits: string;
    readonly floatHits: string;
    /** What a blind guess scores. */
    readonly chance: readonly number[];
    /** Of the right answer, and KL(float ‖ model) summed over them, in nats. */
    readonly tokens: readonly number[];
    readonly kl: readonly number[];
  };
}

/** From the records of its jobs. */
export async function cellResult(options: CellOptions, cell: Cell): Promise<CellResult> {
  const id = recordId(cell);
  const [test, quantized, inspected, evaluated] = await Promise.all(
    ['test-data', `${id}-quantize`, `${id}-inspect`, id].map((name) => readRecord(options.out, name)),
  );
  const { storage, fileBytes } = inspected!.result as { storage: StorageRow[]; fileBytes: number };
  const { perplexity, referencePerplexity } = (evaluated!.result as unknown as Evaluation).reference!;
  const float = await readPredictions(options, 'float');
  const model = await readPredictions(options, id);
  const digits = (rows: readonly { readonly hit: boolean }[]) => rows.map(({ hit }) => Number(hit)).join('');
  return {
    cell,
    schedule: options.schedule,
    testCommand: test!.command,
    quantizeCommand: quantized!.command,
    processorSeconds: Number(quantized!.result.processorSeconds),
    fileBytes,
    linearBits: linearBits(storage),
    averageBits: averageBits(storage),
    heldOutKl: (quantized!.result.divergence as Divergence | undefined)?.kl,
    perplexity,
    floatPerplexity: referencePerplexity,
    questions: {
      categories: float.map(({ category }) => category),
      hits: digits(model),
      floatHits: digits(float),
      chance: float.map(({ chance }) => rounded(chance.blind)),
      tokens: model.map(({ comparison }) => comparison!.tokens),
      kl: model.map(({ comparison }) => rounded(comparison!.kl)),
    },
  };
}

export async function appendResult(file: string, result: CellResult): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await appendFile(file, `${JSON.stringify(result)}\n`);
}

/** Of a cell that comes more than once, the last. Throws `invalid-data` where tests differ. */
export async function readResults(files: readonly string[]): Promise<CellResult[]> {
  const results = new Map<string, CellResult>();
  for (const file of files) {
    for (const line of (await readFile(file, 'utf8')).split('\n').filter(Boolean)) {
      const result = JSON.parse(line) as CellResult;
      results.set(`${result.schedule} ${result.cell.id}`, result);
    }
  }
  const all = [...results.values()];
  const other = all.find(({ questions }) => questions.floatHits.length !== all[0].questions.floatHits.length);
  if (other === undefined) return all;
  throw new SpeedqError(
    'invalid-data',
    `${other.cell.id} was asked other questions than ${all[0].cell.id} (--count): render them apart.`,
  );
}

/** Five digits: files stay small. */
function rounded(value: number): number {
  return Number(value.toPrecision(5));
}
