/**
 * `npm run test:fuzz`: a million malformed inputs instead of the 20,000 of `npm test`. FUZZ_CASES and FUZZ_SEED choose
 * others. The outcome by kind is printed at the end; docs/security.md has that of the last run.
 */
import { spawnSync } from 'node:child_process';

const { status } = spawnSync(
  'npx',
  ['vitest', 'run', '--project', 'unit', '-t', 'malformed inputs', 'tests/malformed/fuzz.test.ts'],
  {
    stdio: 'inherit',
    shell: process.platform === 'win32',
    env: { FUZZ_CASES: '1000000', FUZZ_SEED: '1', ...process.env },
  },
);
process.exitCode = status ?? 1;
