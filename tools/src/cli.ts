import { SpeedqError } from '@speedq/format';
import { commandRegistry } from './commands/index.ts';
import type { Command } from './cli/command.ts';
import { ask } from './cli/ask.ts';
import { agreeToReplace } from './cli/confirm.ts';
import { EXIT_OK, exitCodeOf, toSpeedqError } from './cli/exit-codes.ts';
import { commandHelp, generalHelp } from './cli/help.ts';
import { GLOBAL_OPTIONS, parseArguments } from './cli/parse.ts';
import { version } from './cli/version.ts';
import { didYouMean } from './cli/suggest.ts';
import { createOutput } from './output.ts';
import type { Terminal } from './output.ts';
import { createProgress } from './progress.ts';

/**
 * Runs one command line, such as ['inspect', 'model'], and returns its exit code. It never throws, never
 * exits the process, and writes to `terminal` alone.
 */
export async function runCommandLine(
  argv: readonly string[],
  terminal: Terminal,
  signal: AbortSignal = new AbortController().signal,
): Promise<number> {
  const json = argv.includes('--json');
  const output = createOutput(terminal, { json });
  const [name, ...rest] = argv;
  try {
    if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
      const commands = Object.values(commandRegistry).map(({ name, summary }) => ({ name, summary }));
      output.print(generalHelp(commands));
      output.event('help', { commands });
      return EXIT_OK;
    }
    if (name === '--version' || name === '-V') {
      output.print(version());
      output.event('version', { version: version() });
      return EXIT_OK;
    }
    if (!Object.hasOwn(commandRegistry, name)) {
      throw new SpeedqError(
        'invalid-argument',
        `${JSON.stringify(name)} is not a command.${didYouMean(name, Object.keys(commandRegistry))} See speedq --help.`,
      );
    }
    const entry = commandRegistry[name];
    const command = await entry.load();
    if (rest.includes('--help') || rest.includes('-h')) {
      output.print(commandHelp(entry, command));
      const { args, options, examples } = command;
      output.event('help', { name, summary: entry.summary, args, options, examples });
      return EXIT_OK;
    }
    const result = await run(name, command, rest, terminal, signal);
    output.event('result', result);
    return EXIT_OK;
  } catch (thrown) {
    const error = toSpeedqError(thrown);
    const exitCode = exitCodeOf(error.code);
    output.event('error', { code: error.code, message: error.message, exitCode });
    terminal.stderr(`speedq: ${error.message} [${error.code}]\n`);
    // Only here does a stack help: everything else is the user's to mend.
    if (error.code === 'internal' && thrown instanceof Error) {
      terminal.stderr(
        `This is a bug in speedq. Report it with these lines and those of speedq doctor.\n${thrown.stack}\n`,
      );
    }
    return exitCode;
  }
}

async function run(
  name: string,
  command: Command,
  argv: readonly string[],
  terminal: Terminal,
  signal: AbortSignal,
) {
  const { args, options } = parse(name, command, argv);
  const output = createOutput(terminal, { json: options.json === true });
  const progress = createProgress(terminal, output, { quiet: options.quiet === true });
  // The parser has checked exactly what the command declared.
  const context = { args: args as never, options: options as never, output, progress, signal };
  try {
    return await command.run(context);
  } catch (error) {
    progress.leave();
    if (output.json) throw error;
    await agreeToReplace(error, command, terminal);
    return await command.run({ ...context, options: { ...options, force: true } as never });
  }
}

function parse(name: string, command: Command, argv: readonly string[]) {
  try {
    return parseArguments(argv, command.args, { ...command.options, ...GLOBAL_OPTIONS });
  } catch (cause) {
    const { code, message } = toSpeedqError(cause);
    throw new SpeedqError(code, `${message} See speedq ${name} --help.`, { cause });
  }
}

/** Entry of the executable: the process's own streams, Ctrl-C, and exit code. */
export async function main(): Promise<void> {
  const interrupt = new AbortController();
  const stop = (): void => {
    // The first asks the command to save its work; the second is impatience.
    if (interrupt.signal.aborted) process.exit(exitCodeOf('aborted'));
    interrupt.abort(new SpeedqError('aborted', 'Interrupted.'));
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  // A reader that has seen enough (`| head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT_OK);
    throw error;
  });
  const noColour = (process.env.NO_COLOR ?? '') !== '' || process.env.TERM === 'dumb';
  process.exitCode = await runCommandLine(
    process.argv.slice(2),
    {
      stdout: (text) => void process.stdout.write(text),
      stderr: (text) => void process.stderr.write(text),
      // A dumb terminal, such as an editor's, cannot redraw a line.
      interactive: process.stderr.isTTY && process.env.TERM !== 'dumb',
      colour: process.stdout.isTTY && !noColour,
      get columns() {
        return process.stderr.columns;
      },
      ...(process.stdin.isTTY && process.stderr.isTTY
        ? { ask: (question) => ask(question, { signal: interrupt.signal, onInterrupt: stop }) }
        : {}),
    },
    interrupt.signal,
  );
}
