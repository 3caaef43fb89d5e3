/** Runs the static gates (two at a time) and prints one line each; a failing gate prints its output. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const GATES = [
  'check:types',
  'check:lint',
  'check:format',
  'check:structure',
  'check:unused',
  'check:lockfile',
];

/** @returns {Promise<{passed: number, failed: number}>} */
export async function check() {
  const totals = { passed: 0, failed: 0 };
  const queue = [...GATES];
  const worker = async () => {
    for (let gate = queue.shift(); gate !== undefined; gate = queue.shift()) {
      const start = performance.now();
      const { status, output } = await npmRun(gate);
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${gate} (${seconds} s)`);
      if (status !== 0) console.log(output);
      totals[status === 0 ? 'passed' : 'failed']++;
    }
  };
  await Promise.all([worker(), worker()]);
  return totals;
}

function npmRun(script) {
  return new Promise((resolve) => {
    const child = spawn('npm', ['run', '--silent', script], { shell: process.platform === 'win32' });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => resolve({ status: 1, output: String(error) }));
    child.on('close', (status) => resolve({ status, output }));
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { failed } = await check();
  process.exitCode = failed === 0 ? 0 : 1;
}
