/**
 * Bundle budgets: what a first visit fetches, gzipped, before the model. A budget is raised on purpose,
 * in a commit that says why, or not at all.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { rolldown } from 'rolldown';

const BUDGETS = [
  { name: 'page script', pattern: /^assets\/index-.*\.js$/, kilobytes: 60 },
  { name: 'page style', pattern: /^assets\/index-.*\.css$/, kilobytes: 7 },
  { name: 'engine worker', pattern: /^assets\/worker-.*\.js$/, kilobytes: 72 },
  { name: 'models worker', pattern: /^assets\/model-worker-.*\.js$/, kilobytes: 14 },
  { name: 'engine without WebGPU, on demand', pattern: /^assets\/wasm-engine-.*\.js$/, kilobytes: 14 },
  { name: 'service worker', pattern: /^service-worker\.js$/, kilobytes: 2 },
  // Fetched by who opens bench.html only.
  { name: 'benchmark page', pattern: /^assets\/bench-(?!worker).*\.(js|css)$/, kilobytes: 4 },
  { name: 'benchmark worker', pattern: /^assets\/bench-worker-.*\.js$/, kilobytes: 64 },
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
  report(name, matching.length > 0 ? bytes : undefined, { kilobytes, build: 'build' });
}

// All that a first visit fetches before the model.
const SHELL_KILOBYTES = 150;
const shell = files.filter(
  (file) =>
    /^(index\.html|app\.webmanifest|service-worker\.js|icon\.svg|assets\/.*)$/.test(file) &&
    !/bench|wasm-engine/.test(file),
);
const shellBytes = shell.reduce(
  (sum, file) => sum + gzipSync(readFileSync(dist + file), { level: 9 }).length,
  0,
);
report('app shell', shellBytes, { kilobytes: SHELL_KILOBYTES, build: 'build' });

// A script nobody budgeted is one nobody noticed.
const scripts = files.filter((file) => /\.(js|css|wasm)$/.test(file) && !file.startsWith('models/'));
for (const file of scripts.filter((name) => !BUDGETS.some(({ pattern }) => pattern.test(name)))) {
  failed = true;
  console.log(`FAIL ${file} has no budget (scripts/size.mjs)`);
}
// What <speedq-chat> costs a page before anybody clicks: the script and what it imports at once.
for (const entry of ['index.js', 'standalone/speedq-chat.js']) {
  const folder = fileURLToPath(new URL('../packages/element/dist/', import.meta.url));
  const bytes = existsSync(folder + entry) ? gzippedWithImports(folder + entry) : undefined;
  report(`<speedq-chat>, ${entry}`, bytes, { kilobytes: 10, build: 'build:packages' });
}

// What a page of others fetches of @speedq/runtime before it knows whether there is WebGPU, minified as its bundler does:
// its own part and the worker's.
{
  const folder = fileURLToPath(new URL('../packages/runtime/dist/', import.meta.url));
  const entries = ['index.js', 'worker.js'];
  const isBuilt = entries.every((entry) => existsSync(folder + entry));
  let bytes;
  if (isBuilt) {
    const bundle = await rolldown({
      input: entries.map((entry) => folder + entry),
      external: [/^node:/, 'webgpu', 'sharp'],
      logLevel: 'silent',
    });
    const { output } = await bundle.generate({ minify: true });
    await bundle.close();
    const chunks = new Map(
      output.filter(({ type }) => type === 'chunk').map((chunk) => [chunk.fileName, chunk]),
    );
    const fetched = new Set();
    const visit = (name) => {
      if (fetched.has(name) || !chunks.has(name)) return;
      fetched.add(name);
      chunks.get(name).imports.forEach(visit);
    };
    for (const [name, { isEntry }] of chunks) if (isEntry) visit(name);
    bytes = [...fetched].reduce((sum, name) => sum + gzipSync(chunks.get(name).code, { level: 9 }).length, 0);
  }
  const name = '@speedq/runtime without the WebAssembly engine';
  report(name, bytes, { kilobytes: 120, build: 'build:packages' });
}

/** `bytes`: undefined where nothing is built yet. */
function report(name, bytes, { kilobytes, build }) {
  const ok = bytes !== undefined && bytes <= kilobytes * 1000;
  failed ||= !ok;
  const found =
    bytes === undefined ? `not built: run \`npm run ${build}\`` : `${(bytes / 1000).toFixed(1)} kB`;
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${name}: ${found} of ${kilobytes} kB`);
}

function gzippedWithImports(file, seen = new Set()) {
  if (seen.has(file)) return 0;
  seen.add(file);
  const code = readFileSync(file, 'utf8');
  const imports = [...code.matchAll(/(?:\bfrom|\bimport)\s*["'](\.{1,2}\/[^"']+)["']/g)].map(
    (match) => match[1],
  );
  return imports.reduce(
    (sum, name) => sum + gzippedWithImports(join(dirname(file), name), seen),
    gzipSync(code, { level: 9 }).length,
  );
}

process.exitCode = failed ? 1 : 0;
