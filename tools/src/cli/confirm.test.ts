import { SpeedqError } from '@speedq/format';
import { expect, test, vi } from 'vitest';
import { defineCommand } from './command.ts';
import { agreeToReplace } from './confirm.ts';

const command = defineCommand({
  args: {},
  options: { force: { type: 'boolean', description: 'replace an earlier output' } },
  examples: [{ does: 'nothing', line: 'nothing' }],
  run: () => Promise.resolve({}),
});
const taken = new SpeedqError('output-exists', 'out exists. Pass --force to replace it.');

function terminal(answer?: string) {
  const ask = vi.fn((_question: string) => Promise.resolve(answer ?? ''));
  const streams = { stdout: () => {}, stderr: () => {}, interactive: true, colour: false };
  return { ask, terminal: answer === undefined ? streams : { ...streams, ask } };
}

test.each(['y', 'Yes '])('goes on after %j', async (answer) => {
  const { ask, terminal: t } = terminal(answer);
  await agreeToReplace(taken, command, t);
  expect(ask.mock.calls[0][0]).toContain('replace an earlier output');
});

test.each(['', 'n', 'maybe'])('replaces nothing after %j', async (answer) => {
  const { terminal: t } = terminal(answer);
  await expect(agreeToReplace(taken, command, t)).rejects.toThrow('Nothing was replaced.');
});

test('nobody is asked without a terminal, or where --force would not help', async () => {
  await expect(agreeToReplace(taken, command, terminal().terminal)).rejects.toBe(taken);
  const { ask, terminal: t } = terminal('y');
  for (const error of [
    new SpeedqError('output-exists', 'out is a file; choose another name.'),
    new SpeedqError('invalid-data', 'Pass --force.'),
  ]) {
    await expect(agreeToReplace(error, command, t)).rejects.toBe(error);
  }
  await expect(agreeToReplace(taken, { ...command, options: {} }, t)).rejects.toBe(taken);
  expect(ask).not.toHaveBeenCalled();
});
