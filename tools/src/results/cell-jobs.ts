import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CHANGES, REFERENCE, recipeOf } from './cells.ts';
import type { Cell, ScheduleName } from './cells.ts';
import { calibrationData, evaluation } from './plan.ts';
import type { Job, ResultsOptions } from './plan.ts';

export interface CellOptions extends ResultsOptions {
  readonly schedule: ScheduleName;
  /** Conversations to draw, where the cell does not say. */
  readonly conversations: number;
}

/** The name of a cell's records. */
export function recordId({ id }: Cell): string {
  return id.replaceAll('/', '-');
}

/** Draws what the cell trains on. */
export function dataOf(options: CellOptions, { change }: Cell): Job {
  return calibrationData(
    (change === undefined ? undefined : CHANGES[change].conversations) ?? options.conversations,
  );
}

/** Quantize, weigh, evaluate beside the float model. */
export async function cellJobs(options: CellOptions, cell: Cell): Promise<Job[]> {
  const { method, seed, change } = cell;
  const id = recordId(cell);
  const model = join(options.out, 'models', id);
  const recipe = join(options.out, 'recipes', `${id}.json`);
  await mkdir(join(options.out, 'recipes'), { recursive: true });
  await writeFile(recipe, `${JSON.stringify(recipeOf(cell, options.schedule), null, 2)}\n`);
  const isReference = method === REFERENCE;
  const argv = ['quantize', options.model, '--recipe', recipe, '--method', isReference ? 'speedq' : method];
  if (isReference) argv.push('--reference');
  argv.push(...((change === undefined ? undefined : CHANGES[change].options) ?? []));
  const [data] = dataOf(options, cell).outputs;
  // One thread: the order of sums, and so the bytes, depend on their number.
  if (method !== 'rtn') argv.push('--data', data, '--seed', `${seed}`, '--threads', '1');
  const beside = evaluation(options, id, model, ['--reference', options.model]);
  return [
    {
      id: `${id}-quantize`,
      argv: [...argv, '--out', model, '--force'],
      inputs: [options.model, recipe, ...(method === 'rtn' ? [] : [join(data, 'data.jsonl')])],
      outputs: [model],
    },
    { id: `${id}-inspect`, argv: ['inspect', model], inputs: [model], outputs: [] },
    { ...beside, inputs: [...beside.inputs, options.model] },
  ];
}
