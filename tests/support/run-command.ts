import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommandLine } from 'speedq';
import { onTestFinished } from 'vitest';

export interface CommandRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** NDJSON lines, where --json was given. */
  readonly events: readonly Readonly<Record<string, unknown>>[];
}

/** Runs `speedq …` in this process, without a terminal. */
export async function speedq(...argv: string[]): Promise<CommandRun> {
  let stdout = '';
  let stderr = '';
  const exitCode = await runCommandLine(argv, {
    stdout: (text) => (stdout += text),
    stderr: (text) => (stderr += text),
    interactive: false,
    colour: false,
  });
  const events = argv.includes('--json')
    ? stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]))
    : [];
  return { exitCode, stdout, stderr, events };
}

/** A folder that is gone when the test is over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'speedq-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
