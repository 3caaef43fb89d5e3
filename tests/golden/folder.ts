import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const repositoryRoot = resolve(fileURLToPath(new URL('../..', import.meta.url)));

const ownGoldens = join(repositoryRoot, 'tests/goldens');
/** The folder of reference outputs: `GOLDENS`, relative to the repository root, or `tests/goldens`. */
const goldensFolder = resolve(repositoryRoot, process.env.GOLDENS ?? ownGoldens);

/** Path inside the goldens folder; a kind of case that `GOLDENS` does not have is taken from our own. */
export function goldenPath(...parts: string[]): string {
  const [kind] = parts;
  return join(existsSync(join(goldensFolder, kind)) ? goldensFolder : ownGoldens, ...parts);
}

export function readGolden(...parts: string[]): Uint8Array {
  return readFileSync(goldenPath(...parts));
}

/**
 * Names in `folder` that end in `suffix`, sorted, without the suffix: every case, so that a new case needs
 * no code. An empty list is an error: a golden test that finds nothing to check must not pass.
 */
export function goldenCases(folder: string, suffix = ''): string[] {
  const cases = readdirSync(goldenPath(folder))
    .filter((name) => name.endsWith(suffix))
    .map((name) => basename(name, suffix))
    .sort();
  if (cases.length === 0) throw new Error(`no golden cases *${suffix} in ${goldenPath(folder)}`);
  return cases;
}
