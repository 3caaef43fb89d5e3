/**
 * Two things must hold for `npm ci` to work everywhere: the lockfile says nothing about where packages were
 * downloaded from, and it lists every platform's optional packages. npm leaves out those that the registry
 * it was run against does not carry, and then refuses the lockfile on every machine. `--fix` lists them:
 * by exact version, and for which platform, as their names say.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const path = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(path, 'utf8'));
const packages = lock.packages;
const problems = [];

for (const [name, { resolved }] of Object.entries(packages)) {
  if (/^[a-z+]+:/.test(resolved ?? '')) problems.push(`${name}: resolved to ${resolved}`);
}

const missing = Object.values(packages).flatMap(({ dev, optionalDependencies = {} }) =>
  Object.entries(optionalDependencies)
    .filter(([name]) => packages[`node_modules/${name}`] === undefined)
    .map(([name, version]) => ({ name, version, dev })),
);
if (process.argv.includes('--fix')) {
  for (const { name, version, dev } of missing) {
    packages[`node_modules/${name}`] = { version, ...platformOf(name), ...(dev && { dev }), optional: true };
  }
  lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
} else {
  for (const { name } of missing) problems.push(`${name}: an optional package is missing`);
}

for (const problem of problems) console.error(problem);
if (problems.length > 0) {
  console.error('package-lock.json: keep .npmrc, and run `node scripts/check-lockfile.mjs --fix`.');
  process.exitCode = 1;
}

/** What npm compares with the machine before it installs; a package for no known platform is a mistake. */
function platformOf(name) {
  const words = name.split(/[/-]/);
  const pick = (known) => words.find((word) => known.includes(word));
  const os = pick(['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32']);
  const cpu = pick(['arm', 'arm64', 'ia32', 'loong64', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64']);
  if (cpu === undefined) throw new Error(`${name}: for which platform?`);
  const libc = words.includes('musl') ? 'musl' : words.includes('gnu') ? 'glibc' : undefined;
  return { ...(os && { os: [os] }), cpu: [cpu], ...(libc && os === 'linux' && { libc: [libc] }) };
}
