/**
 * `npm test`: every gate, the build, then every test project, one after another (the GPU and browser
 * tests must not compete for the cores). Ends in one line: `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { check } from './check.mjs';

const PROJECTS = ['unit', 'golden', 'gpu', 'e2e'];

const totals = { passed: 0, failed: 0, skipped: 0 };
const reports = mkdtempSync(join(tmpdir(), 'speedq-test-'));

const gates = await check();
totals.passed += gates.passed;
totals.failed += gates.failed;
for (const script of ['build', 'build:packages', 'size'])
  step(`npm run ${script}`, ['npm', 'run', '--silent', script]);
for (const project of PROJECTS) testProject(project);
rmSync(reports, { recursive: true, force: true });

if (totals.skipped > 0) console.log(`${totals.skipped} skipped`);
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed === 0 ? 0 : 1;

function step(name, [command, ...args]) {
  const { status } = spawnSync(command, args, { stdio: 'inherit', shell: process.platform === 'win32' });
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${name}`);
  totals[status === 0 ? 'passed' : 'failed']++;
}

function testProject(project) {
  const report = join(reports, `${project}.json`);
  console.log(`\n== ${project} tests`);
  const { status } = spawnSync(
    'npx',
    [
      'vitest',
      'run',
      '--project',
      project,
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
    ],
    { stdio: 'inherit', shell: process.platform === 'win32' },
  );
  const result = readReport(report);
  totals.passed += result.numPassedTests;
  totals.skipped += result.numPendingTests + result.numTodoTests;
  // A file that cannot be loaded fails without a failed test, and so does a crash of the runner.
  totals.failed += Math.max(result.numFailedTests, result.numFailedTestSuites > 0 || status !== 0 ? 1 : 0);
}

function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return {
      numPassedTests: 0,
      numFailedTests: 0,
      numPendingTests: 0,
      numTodoTests: 0,
      numFailedTestSuites: 1,
    };
  }
}
