/**
 * Bundle budgets: what a first visit fetches, gzipped, before the model. A budget is raised on purpose,
 * in a commit that says why, or not at all.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const BUDGETS = [
  { name: 'page script', pattern: /^assets\/index-.*\.js$/, kilobytes: 60 },
  { name: 'page style', pattern: /^assets\/index-.*\.css$/, kilobytes: 7 },
  { name: 'engine worker', pattern: /^assets\/worker-.*\.js$/, kilobytes: 64 },
  { name: 'models worker', pattern: /^assets\/model-worker-.*\.js$/, kilobytes: 14 },
  { name: 'service worker', pattern: /^service-worker\.js$/, kilobytes: 2 },
];

const dist = fileURLToPath(new URL('../web/dist/', import.meta.url));
const files = readdirSync(dist, { recursive: true }).map((name) => String(name).replaceAll('\\', '/'));
let failed = false;

for (const { name, pattern, kilobytes } of BUDGETS) {
  const matching = files.filter((file) => pattern.test(file));
  const bytes = matching.reduce(
    (sum, file) => sum + gzipSync(readFileSync(dist + file), { level: 9 }).length,
    0,
  );
  const ok = matching.length > 0 && bytes <= kilobytes * 1000;
  failed ||= !ok;
  const found = matching.length > 0 ? `${(bytes / 1000).toFixed(1)} kB` : 'not built: run `npm run build`';
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${name}: ${found} of ${kilobytes} kB`);
}

// A script nobody budgeted is one nobody noticed.
const scripts = files.filter((file) => /\.(js|css|wasm)$/.test(file) && !file.startsWith('models/'));
for (const file of scripts.filter((name) => !BUDGETS.some(({ pattern }) => pattern.test(name)))) {
  failed = true;
  console.log(`FAIL ${file} has no budget (scripts/size.mjs)`);
}
process.exitCode = failed ? 1 : 0;
