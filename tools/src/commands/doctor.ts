import { defineCommand } from '../cli/command.ts';
import { findingsOf, slownessOf } from '../doctor/findings.ts';
import { inspectMachine } from '../doctor/machine.ts';

export const doctor = defineCommand({
  args: {},
  options: {},
  examples: [
    { does: 'What works here, and what will be slow', line: 'doctor' },
    { does: 'For a report or a program', line: 'doctor --json' },
  ],
  details:
    'Nothing is sent anywhere. Lines that begin with !! say what will not work, and what to do about it.',
  async run({ output }) {
    const machine = await inspectMachine();
    const findings = findingsOf(machine);
    const slow = slownessOf(machine);
    output.table(findings.map(({ what, ok, found }) => [ok ? 'ok' : '!!', what, found]));
    output.print();
    output.print(slow.length > 0 ? output.bold('Slow here:') : 'Nothing should be slow here.');
    for (const { what, why, instead } of slow) output.print(`- ${what}: ${why}. ${instead}`);
    const missing = findings.filter(({ ok }) => !ok).map(({ what }) => what);
    return { healthy: missing.length === 0, missing, findings, slow, machine };
  },
});
