/**
 * `npm run test:faults`: everything that can break under the app breaks, 20 times over (`FAULT_ROUNDS`), in another
 * order and at other moments each time (`FAULT_SEED`); and 100 models are created and destroyed on a real device.
 * A failure ends no round. Ends in a table.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { FAULT_ROUNDS = '20', FAULT_SEED = String(Date.now() % 2 ** 32) } = process.env;
const folder = mkdtempSync(join(tmpdir(), 'speedq-faults-'));
const report = join(folder, 'faults.json');
console.log(`${FAULT_ROUNDS} rounds, seed ${FAULT_SEED}`);

run('npm', ['run', '--silent', 'build']);
run(
  'npx',
  [
    ...['vitest', 'run', '--project', 'e2e', 'tests/e2e/faults.e2e.ts'],
    ...['--reporter=verbose', '--reporter=json', `--outputFile.json=${report}`],
  ],
  { FAULT_ROUNDS, FAULT_SEED },
);
console.log(`\n${FAULT_ROUNDS} rounds, seed ${FAULT_SEED}\n${table(report)}\n`);
run('npx', ['vitest', 'run', '--project', 'gpu', 'packages/kernels/src/model/leaks.gpu.test.ts'], {
  LEAK_CYCLES: '100',
});
rmSync(folder, { recursive: true });

function run(command, args, env = {}) {
  const { status } = spawnSync(command, args, {
    stdio: 'inherit',
    env: { ...process.env, ...env },
    shell: process.platform === 'win32',
  });
  if (status !== 0) process.exitCode = 1;
}

function table(path) {
  const byFault = new Map();
  for (const { assertionResults } of JSON.parse(readFileSync(path, 'utf8')).testResults) {
    for (const { title, status, duration = 0 } of assertionResults) {
      const of = byFault.get(title) ?? { passed: 0, seconds: [] };
      if (status === 'passed') of.passed++;
      of.seconds.push(duration / 1000);
      byFault.set(title, of);
    }
  }
  const rows = Array.from(byFault, ([title, { passed, seconds }]) => {
    seconds.sort((a, b) => a - b);
    const [median, longest] = [seconds[seconds.length >> 1], seconds.at(-1)].map((value) => value.toFixed(1));
    return `| ${title} | ${passed} of ${seconds.length} | ${median} | ${longest} |`;
  });
  return ['| fault | recovered | median s | longest s |', '| --- | --- | --- | --- |', ...rows].join('\n');
}
