import type { CommandEntry } from './command.ts';
import { commandHelp, generalHelp } from './help.ts';

const INTRODUCTION = `# The command

The help of every command, as \`speedq COMMAND --help\` prints it. \`npm run docs:cli\` writes this page from the
definitions of the commands and a test compares the two: change those, not this.

From a checkout, \`npx speedq\` is the command. What to know of all commands:

- **For programs**: \`--json\` turns stdout into NDJSON, an object a line with the field \`event\`. The last line is
  \`result\`, or \`error\` with \`code\`, \`message\` and \`exitCode\`; before it come \`progress\` and whatever the
  command has to say (\`text\` of \`generate\`, \`tensor\` of \`inspect\`). It works with \`--help\` and \`--version\` too.
- **Progress** is on stderr: one line that is redrawn on a terminal; elsewhere, as in the logs of CI, a line every
  five seconds at most, every minute in a run of hours. \`--quiet\` turns it off.
- **Questions** are put on a terminal alone, and only whether to replace an earlier output; elsewhere, and under
  \`--json\`, nothing is replaced without \`--force\`.
- **Interrupting** (Ctrl-C) saves what can be saved; the same command goes on from there where its help says so.
- **Completion**: \`speedq completion bash|zsh|fish\`.
- **Colours**: \`NO_COLOR=1\` turns them off.
`;

/** docs/cli.md. */
export async function cliReference(entries: readonly CommandEntry[]): Promise<string> {
  const block = (title: string, help: string): string => `## ${title}\n\n\`\`\`text\n${help}\n\`\`\`\n`;
  const commands = await Promise.all(
    entries.map(async (entry) => block(entry.name, commandHelp(entry, await entry.load()))),
  );
  return [INTRODUCTION, block('speedq', generalHelp(entries)), ...commands].join('\n');
}
