import { SHELLS, completionScript } from '../cli/completion.ts';
import { defineCommand } from '../cli/command.ts';
import type { Command, CommandEntry } from '../cli/command.ts';

/** The command list is passed in: it lists this command too. */
export function completionOf(entries: readonly CommandEntry[]): Command {
  return defineCommand({
    args: { shell: { choices: SHELLS, description: SHELLS.join(', ') } },
    options: {},
    examples: [
      {
        does: 'bash: now and in every new shell',
        line: 'completion bash > ~/.local/share/bash-completion/completions/speedq',
      },
      { does: 'zsh: into a folder of $fpath', line: 'completion zsh > ~/.zsh/completions/_speedq' },
      { does: 'fish', line: 'completion fish > ~/.config/fish/completions/speedq.fish' },
    ],
    details:
      'The script knows the commands of this version; make it again after an update. It never starts speedq.',
    async run({ args, output }) {
      const commands = await Promise.all(
        entries.map(async ({ name, summary, load }) => ({ name, summary, command: await load() })),
      );
      const script = completionScript(args.shell, commands);
      output.write(script);
      return { shell: args.shell, script };
    },
  });
}
