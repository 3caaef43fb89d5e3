import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommandLine } from '../../tools/src/index.ts';

/**
 * Checks against software that is no dependency of this project: each is a script of its own, told where to find
 * that software, and none is part of `npm test`. docs/exports.md and docs/evaluation.md keep their results.
 */
export const repositoryRoot = fileURLToPath(new URL('../..', import.meta.url));

/** Runs `speedq` in this process; throws what it says on standard error. */
export async function speedq(...argv: string[]): Promise<void> {
  let stderr = '';
  const terminal = { stdout: () => undefined, stderr: (text: string) => (stderr += text) };
  const code = await runCommandLine(argv, { ...terminal, interactive: false, colour: false });
  if (code !== 0) throw new Error(`speedq ${argv.join(' ')}\n${stderr}`);
}

/** Runs a script of this folder under another interpreter and parses the JSON lines it prints. */
export function runPython<T>(python: string, script: string, ...argv: string[]): T[] {
  return run<T>(python, fileURLToPath(new URL(script, import.meta.url)), ...argv);
}

/** The same with a script for Node, where a second copy of a native library needs a process of its own. */
export function runNode<T>(script: string, ...argv: string[]): T[] {
  return run<T>(process.execPath, script, ...argv);
}

function run<T>(command: string, ...argv: string[]): T[] {
  const { status, stdout, error } = spawnSync(command, argv, {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${argv.join(' ')} ended with ${status}\n${stdout}`);
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
  return lines.map((line) => JSON.parse(line) as T);
}

/** Installs packages of npm into a folder that holds their node_modules afterwards. */
export function installPackages(folder: string, ...argv: readonly string[]): string {
  console.log(`installing ${argv.filter((one) => !one.startsWith('-')).join(', ')}`);
  // What scripts would fetch or build is not needed.
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefix', folder];
  const { status } = spawnSync('npm', ['install', ...options, ...argv], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`npm install ${argv.join(' ')} ended with ${status}`);
  return folder;
}

export async function withTemporaryFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'speedq-outside-'));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Prints one line per check and sets the exit code; nothing to check is a failure. */
export class Report {
  private failed = 0;
  private passed = 0;

  check(what: string, isRight: boolean, figure: string): void {
    if (isRight) this.passed++;
    else this.failed++;
    console.log(`${isRight ? 'ok  ' : 'FAIL'} ${what}: ${figure}`);
  }

  finish(): void {
    console.log(`${this.passed} passed, ${this.failed} failed`);
    process.exitCode = this.failed === 0 && this.passed > 0 ? 0 : 1;
  }
}
