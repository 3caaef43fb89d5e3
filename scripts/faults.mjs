/**
 * `npm run test:faults`: everything that can break under the app breaks, 20 times over (`FAULT_ROUNDS`), in one browser;
 * and 100 models are created and destroyed on a real device. Takes an hour without a graphics card.
 */
import { spawnSync } from 'node:child_process';

const rounds = process.env.FAULT_ROUNDS ?? '20';
const steps = [
  { run: ['npm', 'run', '--silent', 'build'] },
  {
    run: ['npx', 'vitest', 'run', '--project', 'e2e', 'tests/e2e/faults.e2e.ts'],
    env: { FAULT_ROUNDS: rounds },
  },
  {
    run: ['npx', 'vitest', 'run', '--project', 'gpu', 'packages/kernels/src/model/leaks.gpu.test.ts'],
    env: { LEAK_CYCLES: '100' },
  },
];
for (const {
  run: [command, ...args],
  env,
} of steps) {
  const { status } = spawnSync(command, args, {
    stdio: 'inherit',
    env: { ...process.env, ...env },
    shell: process.platform === 'win32',
  });
  if (status !== 0) process.exitCode = 1;
}
