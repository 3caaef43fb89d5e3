import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const BIN = new URL('../../tools/bin/speedq.js', import.meta.url).pathname;

export interface Event {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface Run {
  readonly events: readonly Event[];
  readonly stderr: string;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** The command in its own process. `onEvent` sees each NDJSON line as it comes and may kill. */
export function runSpeedq(
  args: readonly string[],
  onEvent: (event: Event, kill: (signal: NodeJS.Signals) => void) => void = () => {},
  env: Readonly<Record<string, string>> = {},
): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BIN, ...args, '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    const events: Event[] = [];
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const event = JSON.parse(line) as Event;
      events.push(event);
      onEvent(event, (signal) => child.kill(signal));
    });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ events, stderr, code, signal }));
  });
}
