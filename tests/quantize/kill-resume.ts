/**
 * Kills a quantization with SIGKILL at random progress, over all its stages, and resumes it, until there were as many
 * kills as asked for; each result must be the bytes of an undisturbed run. Minutes long, so no part of `npm test`.
 *
 *     npm run test:kills -- [METHOD]…        METHOD: speedq, reference (its --reference), best, gptq, …;
 *                                            default: speedq and best
 *     SPEEDQ_KILLS=50 SPEEDQ_TEST_SEED=7     kills of each method; the seed is printed
 */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { createRandom } from '../../tools/src/data/random.ts';
import { runSpeedq } from './run-speedq.ts';
import type { Event } from './run-speedq.ts';
import { tinyRecipe, writeTinyData, writeTinyModel } from './tiny-model.ts';

/** Tells time and memory. */
const DIFFERS = 'report.html';
/** One run may be killed so often before it is let through. */
const KILLS_PER_RUN = 8;

const kills = Number(process.env.SPEEDQ_KILLS ?? 50);
const seed = Number(process.env.SPEEDQ_TEST_SEED ?? Date.now() % 1_000_000);
const methods = process.argv.length > 2 ? process.argv.slice(2) : ['speedq', 'best'];

const folder = await mkdtemp(join(tmpdir(), 'speedq-kills-'));
try {
  await writeTinyModel(join(folder, 'model'));
  await writeTinyData(join(folder, 'data'));
  await writeFile(join(folder, 'tiny.json'), JSON.stringify(tinyRecipe));
  for (const method of methods) await killMethod(method);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function killMethod(method: string): Promise<void> {
  const random = createRandom(seed, method.length);
  console.log(`${method}: ${kills} kills, SPEEDQ_TEST_SEED=${seed}`);
  const whole = await runSpeedq(command(method, 'whole'));
  if (whole.code !== 0) throw new Error(`${method} fails undisturbed: ${whole.stderr}`);
  const checkpoints = whole.events.filter(isCheckpoint);
  const expected = await hashes(join(folder, method, 'whole', 'model'));
  const struck = new Map<string, number>();
  let done = 0;
  for (let run = 0; done < kills; run++) {
    const out = `run-${run}`;
    for (let again = 0; again < KILLS_PER_RUN && done < kills; again++) {
      // As many checkpoints as a run that is not killed any more has left, and a little time on top.
      const after = 1 + random.int(Math.max(1, Math.floor((2 * checkpoints.length) / KILLS_PER_RUN)));
      const delay = random.int(40);
      const { signal, code, stderr, events } = await runSpeedq(command(method, out), killAfter(after, delay));
      if (signal !== 'SIGKILL') {
        if (code !== 0) throw new Error(`${method}, run ${run}: ${stderr}`);
        break;
      }
      done++;
      const piece = events.filter(isCheckpoint).at(-1)!.piece as string;
      struck.set(piece, (struck.get(piece) ?? 0) + 1);
    }
    if (!(await exists(join(folder, method, out, 'model')))) {
      const last = await runSpeedq(command(method, out));
      if (last.code !== 0) throw new Error(`${method}, run ${run} does not resume: ${last.stderr}`);
    }
    compare(method, run, expected, await hashes(join(folder, method, out, 'model')));
    await rm(join(folder, method, out), { recursive: true });
    console.log(`${method}: ${done} kills, run ${run} has the bytes of the undisturbed one`);
  }
  const places = [...struck].map(([piece, count]) => `${piece} ${count}`).join(', ');
  console.log(
    `${method}: ${done} kills and resumes, all bit-identical; killed after a checkpoint of ${places}`,
  );
}

function command(method: string, out: string): string[] {
  const at = (name: string) => join(folder, name);
  return [
    ...['quantize', at('model'), '--recipe', at('tiny.json'), '--data', at('data')],
    ...(method === 'reference' ? ['--method', 'speedq', '--reference'] : ['--method', method]),
    // The manifest has the folder's name: it must be the same for all.
    ...[
      '--out',
      join(folder, method, out, 'model'),
      '--seed',
      '3',
      '--threads',
      '1',
      '--checkpoint-steps',
      '1',
    ],
  ];
}

function isCheckpoint({ event }: Event): boolean {
  return event === 'checkpoint';
}

function killAfter(count: number, delay: number) {
  let left = count;
  return (event: Event, kill: (signal: NodeJS.Signals) => void): void => {
    if (isCheckpoint(event) && --left === 0) setTimeout(() => kill('SIGKILL'), delay);
  };
}

async function hashes(root: string): Promise<Map<string, string>> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const found = new Map<string, string>();
  for (const entry of entries.filter((item) => item.isFile() && item.name !== DIFFERS)) {
    const path = join(entry.parentPath, entry.name);
    found.set(
      relative(root, path),
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    );
  }
  return new Map([...found].sort(([a], [b]) => a.localeCompare(b)));
}

function compare(
  method: string,
  run: number,
  expected: ReadonlyMap<string, string>,
  found: ReadonlyMap<string, string>,
): void {
  const [a, b] = [JSON.stringify([...expected]), JSON.stringify([...found])];
  if (a !== b) throw new Error(`${method}, run ${run} differs from the undisturbed run:\n${a}\n${b}`);
}

async function exists(path: string): Promise<boolean> {
  return readdir(path).then(
    () => true,
    () => false,
  );
}
