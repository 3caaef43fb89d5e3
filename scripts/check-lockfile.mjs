/** The lockfile must not say where packages were downloaded from: it has to work behind any registry. */
import { readFileSync } from 'node:fs';

const lock = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8'));
const addressed = Object.entries(lock.packages).filter(([, entry]) => /^[a-z+]+:/.test(entry.resolved ?? ''));
for (const [path, entry] of addressed) console.error(`${path}: resolved to ${entry.resolved}`);
if (addressed.length > 0) {
  console.error('package-lock.json has download addresses: keep .npmrc and run `npm install` again.');
  process.exitCode = 1;
}
