import { SpeedqError } from '@speedq/format';
import type { Terminal } from '../output.ts';
import type { Command } from './command.ts';

/**
 * After an earlier output stopped a command: returns once a person agrees to what --force does. Where nobody
 * can be asked, or --force would not help, it throws the error on.
 */
export async function agreeToReplace(
  error: unknown,
  { options }: Command,
  terminal: Terminal,
): Promise<void> {
  const stopped = error instanceof SpeedqError && error.code === 'output-exists';
  // What is no earlier output is never replaced, and its message does not offer it.
  const helps = stopped && 'force' in options && error.message.includes('--force');
  if (!helps || terminal.ask === undefined) throw error;
  terminal.stderr(`${error.message}\n`);
  const answer = await terminal.ask(`--force: ${options.force.description}. Do that now? [y/N] `);
  if (!/^y(es)?$/i.test(answer.trim())) {
    throw new SpeedqError('output-exists', 'Nothing was replaced.', { cause: error });
  }
}
