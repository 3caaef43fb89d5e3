import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCommandLine } from 'speedq';
import { speedq, temporaryFolder } from './support/run-command.ts';

const FLOAT = 'tools/models/pico';
const PACKED = 'web/public/models/pico-2bit';

/** Every event of a successful run; `speedq` throws on a line of stdout that is no JSON. */
async function events(...argv: string[]) {
  const run = await speedq(...argv, '--json');
  expect(run.exitCode, run.stderr).toBe(0);
  expect(run.events.filter(({ event }) => event === 'result')).toHaveLength(1);
  expect(run.events.at(-1)!.event).toBe('result');
  return run.events;
}

test.each([
  ['inspect', [PACKED, '--tensors'], { kind: 'packed', problems: [] }],
  ['plan', [FLOAT, '--tensors'], { recipe: '2bit' }],
  ['verify', [PACKED], { verified: true }],
  ['doctor', [], { slow: expect.any(Array) as unknown }],
])('%s --json prints events alone, the result last', async (name, argv, result) => {
  expect((await events(name, ...argv)).at(-1)).toMatchObject(result);
});

test('what writes a folder says where', async () => {
  const out = join(temporaryFolder(), 'out');
  for (const argv of [
    ['quantize', FLOAT, '--method', 'rtn'],
    ['export', FLOAT, '--to', 'packed', '--force'],
    ['export', PACKED, '--to', 'float', '--force'],
  ]) {
    // --force replaces packed folders by packed ones only.
    const folder = argv.includes('float') ? `${out}-float` : out;
    expect((await events(...argv, '--out', folder)).at(-1)).toMatchObject({ out: folder });
  }
  const data = join(temporaryFolder(), 'data');
  const drawn = await events('data', '--seed', '1', '--count', '3', '--out', data);
  expect(drawn.at(-1)).toMatchObject({ out: data, questions: 3 });
});

test('an error is the last line, and tells programs what people read', async () => {
  const { events, exitCode, stderr } = await speedq('verify', 'nowhere', '--json');
  const [{ code, message }] = events as [{ code: string; message: string }];
  expect(events).toEqual([{ event: 'error', code, message, exitCode }]);
  expect(stderr).toBe(`speedq: ${message} [${code}]\n`);
});

test('generate streams: pieces as they come, for people and for programs', async () => {
  const ask = ['generate', PACKED, '--engine', 'cpu', '--prompt', 'Describe the picture in detail.'];
  ask.push('--image', 'web/public/samples/farm.png', '--max-new-tokens', '24');
  const all = await events(...ask);
  const pieces = all.filter(({ event }) => event === 'text').map(({ text }) => text as string);
  const { text, tokens } = all.at(-1) as unknown as { text: string; tokens: number };
  expect(pieces.join('')).toBe(text);
  expect(pieces.length).toBeGreaterThan(3);
  expect(pieces.length).toBeLessThanOrEqual(tokens);

  const written: string[] = [];
  await runCommandLine(ask, {
    stdout: (piece) => void written.push(piece),
    stderr: () => {},
    interactive: false,
    colour: false,
  });
  expect(written).toEqual([...pieces, '\n']);
});
