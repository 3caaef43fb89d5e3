import { expect, test } from 'vitest';
import { createOutput } from './output.ts';
import { createProgress } from './progress.ts';

function setup({ interactive = false, json = false, quiet = false, columns = 80 } = {}) {
  const written = { stdout: '', stderr: '' };
  const terminal = {
    stdout: (text: string) => (written.stdout += text),
    stderr: (text: string) => (written.stderr += text),
    interactive,
    columns,
    colour: false,
  };
  let time = 0;
  const progress = createProgress(terminal, createOutput(terminal, { json }), { quiet, now: () => time });
  return { written, progress, at: (seconds: number) => (time = seconds) };
}

test('a log gets a line every five seconds, with the time left', () => {
  const { written, progress, at } = setup();
  const task = progress.start('training', 100);
  for (let done = 1; done <= 100; done++) {
    at(done / 10);
    task.update(done, `loss ${done}`);
  }
  task.finish('100 steps');
  expect(written.stderr).toBe(
    'training: 50% (50/100), loss 50, ETA 5.0 s\n' +
      'training: 100% (100/100), loss 100\n' +
      'training: 100 steps (10 s)\n',
  );
  expect(written.stdout).toBe('');
});

test('a log of hours gets a line a minute', () => {
  const { written, progress, at } = setup();
  const task = progress.start('training', 36_000);
  const times: number[] = [];
  for (let second = 1; second <= 36_000; second++) {
    const { length } = written.stderr;
    at(second);
    task.update(second);
    if (written.stderr.length > length) times.push(second);
  }
  const gaps = times.slice(1).map((time, i) => time - times[i]);
  expect(Math.min(...gaps)).toBe(5);
  expect(Math.max(...gaps)).toBe(60);
  expect(times.length).toBeLessThan(700);
});

test('a terminal line is redrawn in place', () => {
  const { written, progress, at } = setup({ interactive: true });
  const task = progress.start('packing', 2);
  task.update(1);
  at(0.05);
  task.update(2);
  task.finish();
  expect(written.stderr).toBe('\r\u001b[Kpacking: 50% (1/2), ETA 0.0 s\r\u001b[Kpacking: done (0.1 s)\n');
});

test('a line is cut to the terminal, and what follows it gets its own', () => {
  const { written, progress } = setup({ interactive: true, columns: 20 });
  progress.start('packing', 3).update(1, 'a long detail');
  progress.leave();
  progress.leave();
  expect(written.stderr).toBe('\r\u001b[Kpacking: 33% (1/3),\n');
});

test('quiet writes nothing on stderr; --json sends events, one a second', () => {
  const { written, progress, at } = setup({ json: true, quiet: true });
  const task = progress.start('packing');
  for (let i = 0; i < 20; i++) {
    at(i / 10);
    task.update(i);
  }
  expect(written.stderr).toBe('');
  const events = written.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  expect(events).toEqual([
    { event: 'progress', step: 'packing', done: 0, seconds: 0 },
    { event: 'progress', step: 'packing', done: 10, seconds: 1 },
  ]);
});
