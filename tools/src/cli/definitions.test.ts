import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { runCommandLine } from '../cli.ts';
import { commandRegistry } from '../commands/index.ts';
import type { Terminal } from '../output.ts';
import { flagName } from './command.ts';
import type { Command } from './command.ts';
import { GLOBAL_OPTIONS, parseArguments } from './parse.ts';
import { cliReference } from './reference.ts';

const entries = Object.values(commandRegistry);
const commands = new Map<string, Command>();

beforeAll(async () => {
  for (const { name, load } of entries) commands.set(name, await load());
}, 120_000);

async function run(...argv: string[]) {
  const written = { stdout: '', stderr: '' };
  const terminal: Terminal = {
    stdout: (text) => (written.stdout += text),
    stderr: (text) => (written.stderr += text),
    interactive: false,
    colour: false,
  };
  const exitCode = await runCommandLine(argv, terminal);
  const lines = written.stdout.split('\n').filter((line) => line !== '');
  return { exitCode, ...written, lines };
}

test('docs/cli.md is what --help prints (npm run docs:cli writes it)', async () => {
  const page = await readFile(new URL('../../../docs/cli.md', import.meta.url), 'utf8');
  expect(page).toBe(await cliReference(entries));
});

describe.each(entries.map(({ name }) => name))('%s', (name) => {
  test('has one to three examples, each of which it would accept', () => {
    const { args, options, examples } = commands.get(name)!;
    expect(examples.length).toBeLessThanOrEqual(3);
    for (const { line } of examples) {
      // Words as a shell would split them, up to a redirection.
      const words = [...line.replace(/ > .*/, '').matchAll(/"([^"]*)"|\S+/g)].map(
        ([word, quoted]) => quoted ?? word,
      );
      expect(words[0]).toBe(name);
      const parse = () => parseArguments(words.slice(1), args, { ...options, ...GLOBAL_OPTIONS });
      expect(parse, line).not.toThrow();
    }
  });

  test('help shows every option and ends in the examples', async () => {
    const { stdout, exitCode } = await run(name, '--help');
    const { options, examples } = commands.get(name)!;
    for (const key of Object.keys(options)) expect(stdout).toContain(`--${flagName(key)}`);
    expect(stdout.trimEnd().endsWith(`speedq ${examples.at(-1)!.line}`)).toBe(true);
    expect(exitCode).toBe(0);
  });

  test('help and errors are one JSON line under --json, and an error names the way on', async () => {
    const help = await run(name, '--help', '--json');
    expect(help.lines).toHaveLength(1);
    expect(JSON.parse(help.lines[0])).toMatchObject({ event: 'help', name });
    const wrong = await run(name, '--no-such-option', '--json');
    expect(wrong.lines).toHaveLength(1);
    expect(JSON.parse(wrong.lines[0])).toMatchObject({
      event: 'error',
      code: 'invalid-argument',
      exitCode: 2,
    });
    expect(wrong.stderr).toContain(`See speedq ${name} --help.`);
    expect(wrong.exitCode).toBe(2);
  });
});

describe('completion', () => {
  /** What bash offers for the last of the words, by running the script in it. */
  async function complete(...words: string[]): Promise<string[]> {
    const { stdout } = await run('completion', 'bash');
    const { stdout: offered, stderr } = spawnSync(
      'bash',
      [
        '--noprofile',
        '--norc',
        '-c',
        `${stdout}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _speedq; printf '%s\\n' "\${COMPREPLY[@]}"`,
        '-',
        ...words,
      ],
      { encoding: 'utf8' },
    );
    expect(stderr).toBe('');
    return offered.split('\n').filter((line) => line !== '');
  }

  test.each([
    ['commands', ['speedq', 'in'], ['inspect']],
    ['options', ['speedq', 'inspect', '--te'], ['--tensors']],
    ['global options', ['speedq', 'verify', 'model', '--js'], ['--json']],
    ['values', ['speedq', 'generate', '--engine', ''], ['auto', 'cpu', 'webgpu', 'wasm']],
    ['values after =', ['speedq', 'generate', '--engine', '=', 'c'], ['cpu']],
    ['nothing for a number', ['speedq', 'generate', '--seed', ''], []],
    ['words of an argument', ['speedq', 'completion', 'f'], ['fish']],
    ['paths for a model', ['speedq', 'inspect', 'package.js'], ['package.json']],
    ['paths for an option', ['speedq', 'eval', 'm', '--data', 'package.js'], ['package.json']],
  ])('bash completes %s', async (_, words, expected) => {
    expect(await complete(...words)).toEqual(expected);
  });

  test.each(['zsh', 'fish'])('%s is told of every command and option', async (shell) => {
    const { stdout } = await run('completion', shell);
    for (const [name, { options }] of commands) {
      expect(stdout).toContain(name);
      for (const key of Object.keys(options)) {
        expect(stdout).toContain(shell === 'zsh' ? `--${flagName(key)}` : `-l ${flagName(key)}`);
      }
    }
    // A syntax check by the shell itself, on machines that have it.
    const folder = await mkdtemp(join(tmpdir(), 'speedq-completion-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, 'script'), stdout);
    const check = spawnSync(shell, ['-n', join(folder, 'script')], { encoding: 'utf8' });
    if (check.error === undefined) expect(check.stderr).toBe('');
  });

  test('under --json the script is in the result', async () => {
    const { lines } = await run('completion', 'fish', '--json');
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ event: 'result', shell: 'fish' });
    expect(lines).toHaveLength(1);
  });
});

test('the version, for people and for programs', async () => {
  expect((await run('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  expect(JSON.parse((await run('--version', '--json')).stdout)).toMatchObject({ event: 'version' });
});
