import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../cli.ts';
import { tsvLine } from '../data/index.ts';

const PICO = fileURLToPath(new URL('../../models/pico', import.meta.url));
const COMMAND = fileURLToPath(new URL('../../bin/speedq.js', import.meta.url));
const QUESTIONS = 14;
const data = 'MMStar.tsv';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-eval-'));
  const rows: string[][] = [
    ['index', 'image', 'question', 'A', 'B', 'C', 'answer', 'category', 'l2-category'],
  ];
  for (let i = 0; i < QUESTIONS; i++) {
    const background = { r: (i * 53) % 256, g: (i * 101) % 256, b: (i * 29) % 256 };
    const png = await sharp({ create: { width: 60 + i, height: 60, channels: 3, background } })
      .png()
      .toBuffer();
    const options = ['a star', 'nothing', 'a cat'];
    rows.push([
      `${i}`,
      png.toString('base64'),
      'What is here?',
      ...options,
      'ABC'[i % 3],
      `c${i % 2}`,
      `l${i % 5}`,
    ]);
  }
  await writeFile(join(folder, data), rows.map(tsvLine).join(''));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function argumentsOf(name: string, batch = 1): string[] {
  const files = ['--out', join(folder, `${name}.jsonl`), '--predictions', join(folder, `${name}.tsv`)];
  const settings = ['--max-new-tokens', '6', '--threads', '1', '--batch', `${batch}`];
  return ['eval', PICO, '--data', join(folder, data), ...files, ...settings];
}

async function run(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = '';
  let stderr = '';
  const code = await runCommandLine(argv, {
    stdout: (text) => (stdout += text),
    stderr: (text) => (stderr += text),
    interactive: false,
    colour: false,
  });
  return { code, stdout, stderr };
}

const lastEvent = (stdout: string) =>
  JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as Record<string, unknown>;
const read = (file: string) => readFile(join(folder, file), 'utf8');

describe('a run killed in the middle', () => {
  it.each([1, 4])(
    'goes on where it was and ends like one that was not, %i at once',
    async (batch) => {
      const child = spawn(process.execPath, [COMMAND, ...argumentsOf('killed', batch)], { stdio: 'ignore' });
      const log = join(folder, '.killed.jsonl.answers');
      const answered = async () =>
        existsSync(log) ? (await readFile(log, 'utf8')).split('\n').length - 2 : 0;
      while (child.exitCode === null && (await answered()) < 3) await wait(5);
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('close', resolve));
      expect(child.signalCode).toBe('SIGKILL');
      expect(existsSync(join(folder, 'killed.jsonl'))).toBe(false);
      const done = await answered();
      expect(done).toBeGreaterThanOrEqual(3);
      expect(done).toBeLessThan(QUESTIONS);
      // What is in the log is not asked again: an answer changed there is what comes out.
      const lines = (await readFile(log, 'utf8')).split('\n');
      const first = JSON.parse(lines[1]) as { prediction: string };
      await writeFile(log, `${lines.slice(0, -1).join('\n')}\n{"index":"torn`);

      const resumed = await run(...argumentsOf('killed', batch));
      const whole = await run(...argumentsOf('whole', batch));
      expect(resumed.code, resumed.stderr).toBe(0);
      expect(whole.code, whole.stderr).toBe(0);
      expect(resumed.stdout).toBe(whole.stdout);
      expect(await read('killed.jsonl')).toBe(await read('whole.jsonl'));
      expect(await read('killed.tsv')).toBe(await read('whole.tsv'));
      expect((await read('killed.jsonl')).split('\n')).toHaveLength(QUESTIONS + 1);
      expect(await read('killed.jsonl')).toContain(JSON.stringify(first.prediction));
      expect(existsSync(log)).toBe(false);
      expect(whole.stdout).toMatch(/^Overall +\d/m);
      for (const file of ['killed.jsonl', 'killed.tsv', 'whole.jsonl', 'whole.tsv'])
        await rm(join(folder, file));
    },
    120_000,
  );

  it('is not taken up by a run that differs', async () => {
    const log = join(folder, '.other.jsonl.answers');
    await writeFile(log, '{"version":1,"model":"x","reference":null,"data":"y","settings":{"limit":5}}\n');
    const { code, stderr } = await run(...argumentsOf('other'));
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/unfinished run that differs from this one in model, data, limit/);
  });
});

it('ends in a result for programs', async () => {
  const argv = [
    'eval',
    PICO,
    '--data',
    join(folder, data),
    '--limit',
    '5',
    '--max-new-tokens',
    '4',
    '--json',
  ];
  const { code, stdout } = await run(...argv);
  expect(code).toBe(0);
  const result = lastEvent(stdout);
  expect(result).toMatchObject({ event: 'result', dataset: 'MMStar', count: 5, engine: 'cpu' });
  expect(result.score).toBe(100 * (result.accuracy as number));
});

it('answers several at once as one by one, on the CPU', async () => {
  const answers = [];
  for (const batch of [1, 3, 8]) {
    const { code, stderr } = await run(...argumentsOf(`batch-${batch}`, batch));
    expect(code, stderr).toBe(0);
    answers.push(await read(`batch-${batch}.tsv`));
  }
  expect(answers[1]).toBe(answers[0]);
  expect(answers[2]).toBe(answers[0]);
  const other = await run(...argumentsOf('other', 2), '--engine', 'wasm');
  expect(other.code).toBe(2);
  expect(other.stderr).toMatch(/wasm engine holds one conversation.*--batch goes with --engine cpu/);
}, 60_000);

describe('--perplexity', () => {
  it('is of a text, and the model is as good as itself', async () => {
    const file = join(folder, 'text.txt');
    await writeFile(file, 'The cat is at the top left. A dog and a cow are at the centre. '.repeat(8));
    const { code, stdout, stderr } = await run(
      'eval',
      PICO,
      '--perplexity',
      file,
      '--reference',
      PICO,
      '--window',
      '64',
      '--json',
    );
    expect(code, stderr).toBe(0);
    const result = lastEvent(stdout) as { perplexity: number; reference: { perplexity: number } };
    expect(result.reference).toMatchObject({ kl: 0, topAgreement: 1 });
    expect(result.reference.perplexity).toBe(result.perplexity);
    expect(result.perplexity).toBeGreaterThan(1);
  });

  it('or --data, not both and not neither', async () => {
    expect((await run('eval', PICO)).code).toBe(2);
    expect((await run('eval', PICO, '--data', 'a.tsv', '--perplexity', 'b.txt')).code).toBe(2);
  });
});
