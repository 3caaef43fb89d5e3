import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { Table } from '../table/table.ts';

/** A table of this text, gone when the test is over. */
export async function temporaryTable(
  text: string,
  name = 'data.tsv',
): Promise<{ table: Table; path: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'speedq-table-'));
  const path = join(folder, name);
  await writeFile(path, text);
  const table = await Table.open(path);
  onTestFinished(async () => {
    await table.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { table, path };
}
