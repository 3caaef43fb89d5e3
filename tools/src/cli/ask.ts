import { createInterface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';

export interface AskOptions {
  readonly signal: AbortSignal;
  /** Ctrl-C: while a line is read it is a key, not a signal. */
  readonly onInterrupt: () => void;
  readonly input?: Readable;
  /** Default: stderr, so that stdout stays data. */
  readonly output?: Writable;
}

/** The line that a person answers with; empty where the input ends. Throws an AbortError with the signal. */
export async function ask(
  question: string,
  { signal, onInterrupt, input = process.stdin, output = process.stderr }: AskOptions,
): Promise<string> {
  const terminal = createInterface({ input, output });
  terminal.on('SIGINT', onInterrupt);
  const ended = new Promise<undefined>((resolve) => terminal.once('close', () => resolve(undefined)));
  try {
    const answer = await Promise.race([terminal.question(question, { signal }), ended]);
    if (answer === undefined) output.write('\n');
    return answer ?? '';
  } finally {
    terminal.close();
  }
}
