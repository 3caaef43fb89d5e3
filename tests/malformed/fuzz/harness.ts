import { SpeedqError } from '@speedq/format';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createRandom } from '../../../tools/src/data/random.ts';
import type { Random } from '../../../tools/src/data/random.ts';

/** Reads one input to the end of what may be read of it; throws SpeedqErrors alone. */
export interface Target {
  readonly kind: string;
  /** Of 100 inputs. */
  readonly share: number;
  readonly make: (random: Random) => Uint8Array;
  readonly read: (input: Uint8Array) => void | Promise<void>;
  /** Bytes that a well-formed input of this kind may take beyond what any file may. */
  readonly grant?: (input: Uint8Array) => number;
}

export interface Failure {
  readonly kind: string;
  readonly index: number;
  readonly what: string;
}

export interface Outcome {
  readonly inputs: number;
  readonly accepted: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly slowestMilliseconds: number;
  /** Most that was allocated beyond twice the file. */
  readonly mostBytes: number;
}

export interface FuzzResult {
  readonly failures: readonly Failure[];
  readonly byKind: Readonly<Record<string, Outcome>>;
}

const LONGEST_MILLISECONDS = 1000;
/** What an input may allocate: twice its bytes and this. */
const ALLOWANCE = 16 * 2 ** 20;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Heap and buffers, living and dead: nothing is collected between two calls unless much is allocated. */
function allocated(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

interface Measured {
  readonly code: string | undefined;
  readonly milliseconds: number;
  readonly bytes: number;
  readonly wrong: string | undefined;
}

async function measure({ read }: Target, input: Uint8Array): Promise<Measured> {
  const bytesBefore = allocated();
  const start = performance.now();
  let code: string | undefined;
  let wrong: string | undefined;
  try {
    await read(input);
  } catch (error) {
    if (error instanceof SpeedqError && error.code !== 'internal') code = error.code;
    else wrong = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  return { code, wrong, milliseconds: performance.now() - start, bytes: allocated() - bytesBefore };
}

/** A second look at what seemed too slow or too large: the machine, or a collection, may have been to blame. */
async function measureAgain(target: Target, input: Uint8Array, first: Measured): Promise<Measured> {
  let best = first;
  for (let attempt = 0; attempt < 3; attempt++) {
    collectGarbage();
    const again = await measure(target, input);
    best = {
      ...again,
      milliseconds: Math.min(best.milliseconds, again.milliseconds),
      bytes: Math.min(best.bytes, again.bytes),
    };
  }
  return best;
}

interface Counting extends Outcome {
  inputs: number;
  accepted: number;
  readonly refused: Record<string, number>;
  slowestMilliseconds: number;
  mostBytes: number;
}

function emptyOutcome(): Counting {
  return { inputs: 0, accepted: 0, refused: {}, slowestMilliseconds: 0, mostBytes: 0 };
}

/** Input `index` of a seed is always the same one. */
export async function fuzz(
  targets: readonly Target[],
  { seed, count, onProgress }: { seed: number; count: number; onProgress?: (done: number) => void },
): Promise<FuzzResult> {
  const failures: Failure[] = [];
  const shares = Object.fromEntries(targets.map(({ kind, share }) => [kind, share]));
  const byKind = new Map(targets.map(({ kind }) => [kind, emptyOutcome()]));
  for (let index = 0; index < count; index++) {
    const random = createRandom(seed, index);
    const kind = random.weighted(shares)!;
    const target = targets.find((one) => one.kind === kind)!;
    const input = target.make(random);
    const allowed = 2 * input.length + ALLOWANCE + (target.grant?.(input) ?? 0);
    let measured = await measure(target, input);
    if (measured.milliseconds > LONGEST_MILLISECONDS || measured.bytes > allowed) {
      measured = await measureAgain(target, input, measured);
    }
    const { code, wrong, milliseconds, bytes } = measured;
    const fail = (what: string): void => void failures.push({ kind, index, what });
    if (wrong !== undefined) fail(wrong);
    if (milliseconds > LONGEST_MILLISECONDS) fail(`${milliseconds.toFixed(0)} ms`);
    if (bytes > allowed) fail(`${bytes} bytes for a file of ${input.length}`);
    const outcome = byKind.get(kind)!;
    outcome.inputs++;
    if (wrong === undefined && code === undefined) outcome.accepted++;
    if (code !== undefined) outcome.refused[code] = (outcome.refused[code] ?? 0) + 1;
    outcome.slowestMilliseconds = Math.max(outcome.slowestMilliseconds, milliseconds);
    outcome.mostBytes = Math.max(outcome.mostBytes, bytes - 2 * input.length);
    if ((index + 1) % 10_000 === 0) onProgress?.(index + 1);
  }
  return { failures, byKind: Object.fromEntries(byKind) };
}
