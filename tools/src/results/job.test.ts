import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { readRecord, runJob } from './job.ts';
import type { Job } from './plan.ts';

function setup() {
  const out = mkdtempSync(join(tmpdir(), 'speedq-results-'));
  onTestFinished(() => rmSync(out, { recursive: true, force: true }));
  const lines: string[] = [];
  const input = join(out, 'input.txt');
  writeFileSync(input, 'first');
  // Any quick command serves.
  const job: Job = { id: 'doctor', argv: ['doctor'], inputs: [input], outputs: [] };
  const run = (changed: Partial<Job> = {}) =>
    runJob({ ...job, ...changed }, { out, log: (line) => lines.push(line) });
  return { out, lines, input, run };
}

it('runs a command once for the same inputs, and again when they change', { timeout: 120_000 }, async () => {
  const { out, lines, input, run } = setup();
  await run();
  expect(lines[0]).toBe('doctor: speedq doctor');
  expect(await readRecord(out, 'doctor')).toMatchObject({
    command: 'speedq doctor',
    result: expect.any(Object),
  });
  await run();
  expect(lines.at(-1)).toBe('doctor: unchanged');
  writeFileSync(input, 'second');
  lines.length = 0;
  await run();
  expect(lines).toContain('doctor: speedq doctor');
});

it('takes what somebody else made, and leaves no record of a failure', { timeout: 120_000 }, async () => {
  const { out, lines, input, run } = setup();
  await run({ outputs: [input], keepExisting: true });
  expect(lines).toEqual([`doctor: ${input} is there already`]);
  await expect(run({ id: 'bad', argv: ['inspect', join(out, 'nowhere')] })).rejects.toMatchObject({
    code: 'internal',
    message: expect.stringContaining('ended with 3') as string,
  });
  expect(lines.some((line) => line.includes('does not exist'))).toBe(true);
  expect(await readRecord(out, 'bad')).toBeUndefined();
});
