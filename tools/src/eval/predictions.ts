import { rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { tsvLine } from '../data/index.ts';
import type { Table } from './table/table.ts';

/**
 * Writes what VLMEvalKit's scorers read (`PRED_FORMAT=tsv`, file name MODEL_DATASET.tsv): every column of the data
 * but the pictures, and `prediction`. Rows that were not asked are left out.
 */
export async function writePredictions(
  path: string,
  table: Table,
  predictions: ReadonlyMap<string, string>,
): Promise<void> {
  const columns = table.columns.filter((name) => name !== 'image' && name !== 'prediction');
  const rows = table.rows.filter(({ index }) => predictions.has(index));
  const lines = rows.map(({ index, cells }) =>
    tsvLine([...columns.map((name) => cells.get(name) ?? ''), predictions.get(index)!]),
  );
  await writeWhole(path, tsvLine([...columns, 'prediction']) + lines.join(''));
}

/** One JSON object a line. */
export async function writeJsonLines(path: string, items: readonly unknown[]): Promise<void> {
  await writeWhole(path, items.map((item) => `${JSON.stringify(item)}\n`).join(''));
}

/** Under its final name only when it is complete. */
async function writeWhole(path: string, text: string): Promise<void> {
  const partial = join(dirname(path), `.${basename(path)}.partial`);
  try {
    await writeFile(partial, text);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
