/** Writes docs/cli.md (`npm run docs:cli`). */
import { writeFile } from 'node:fs/promises';
import { commandRegistry } from '../commands/index.ts';
import { cliReference } from './reference.ts';

await writeFile(
  new URL('../../../docs/cli.md', import.meta.url),
  await cliReference(Object.values(commandRegistry)),
);
