import type { Command, CommandSummary, OptionSpec } from './command.ts';
import { flagName } from './command.ts';
import { valueHint } from './help.ts';
import { GLOBAL_OPTIONS } from './parse.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

export interface CompletedCommand extends CommandSummary {
  readonly command: Command;
}

/** A script that completes commands, options and their values without starting speedq. */
export function completionScript(shell: Shell, commands: readonly CompletedCommand[]): string {
  return { bash, zsh, fish }[shell](commands);
}

/** What may stand for a value: one of these words, a path, or anything. */
type Values = readonly string[] | 'paths' | 'anything';

interface Flag {
  readonly name: string;
  readonly spec: OptionSpec;
  readonly values: Values;
}

function flagsOf({ options }: Command): Flag[] {
  return Object.entries<OptionSpec>({ ...options, ...GLOBAL_OPTIONS }).map(([key, spec]) => ({
    name: flagName(key),
    spec,
    values: spec.choices ?? (/\b(DIR|FILE|MODEL)\b/.test(spec.hint ?? '') ? 'paths' : 'anything'),
  }));
}

/** Words for the positional arguments where they are fixed; else they are paths. */
function argumentWords({ args }: Command): readonly string[] {
  return Object.values(args).flatMap(({ choices }) => choices ?? []);
}

function takesPaths({ args }: Command): boolean {
  return Object.values(args).some(({ choices }) => choices === undefined);
}

function bash(commands: readonly CompletedCommand[]): string {
  const words = (list: readonly string[]): string =>
    `compgen -W $'${list.join(String.raw`\n`)}' -- "$current"`;
  const values = commands.flatMap(({ name, command }) =>
    flagsOf(command)
      .filter(({ spec }) => spec.type !== 'boolean')
      .map(({ name: flag, values }) => {
        const found =
          values === 'paths' ? 'compgen -f -- "$current"' : values === 'anything' ? ':' : words(values);
        return `    '${name} --${flag}') COMPREPLY=($(${found})); return ;;`;
      }),
  );
  const rest = commands.map(({ name, command }) => {
    const flags = flagsOf(command).map(({ name }) => `--${name}`);
    const positional = takesPaths(command) ? 'compgen -f -- "$current"' : words(argumentWords(command));
    return [
      `    ${name})`,
      `      if [[ $current == -* ]]; then COMPREPLY=($(${words(flags)}))`,
      `      else COMPREPLY=($(${positional})); fi ;;`,
    ].join('\n');
  });
  return `# speedq completion for bash
_speedq() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]}
  # Names of files may hold spaces.
  local IFS=$'\\n'
  # bash makes three words of --flag=value.
  if [[ $before == = ]]; then before=\${COMP_WORDS[COMP_CWORD-2]}
  elif [[ $current == = ]]; then current=; fi
  COMPREPLY=()
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=($(${words([...commands.map(({ name }) => name), '--help', '--version'])}))
    return
  fi
  case "\${COMP_WORDS[1]} $before" in
${values.join('\n')}
  esac
  case \${COMP_WORDS[1]} in
${rest.join('\n')}
  esac
}
complete -o filenames -F _speedq speedq
`;
}

function zsh(commands: readonly CompletedCommand[]): string {
  const escape = (text: string): string =>
    text.replaceAll(/[\\[\]:$`]/g, '\\$&').replaceAll("'", String.raw`'\''`);
  const action = (values: Values): string =>
    values === 'paths' ? '_files' : values === 'anything' ? ' ' : `(${values.join(' ')})`;
  const cases = commands.map(({ name, command }) => {
    const flags = flagsOf(command).flatMap(({ name, spec, values }) => {
      const repeat = spec.multiple === true ? '*' : '';
      const text = `[${escape(spec.description)}]`;
      if (spec.type !== 'boolean') {
        return [`'${repeat}--${name}=${text}:${escape(valueHint(spec))}:${action(values)}'`];
      }
      return [`'--${name}${text}'`, ...(spec.short === undefined ? [] : [`'-${spec.short}${text}'`])];
    });
    const args = Object.entries(command.args).map(
      ([key, { optional, choices }]) =>
        `'${optional === true ? ':' : ''}:${escape(key.toUpperCase())}:${action(choices ?? 'paths')}'`,
    );
    return [
      `    ${name})`,
      `      _arguments \\`,
      [...flags, ...args].map((line) => `        ${line}`).join(' \\\n'),
      '      ;;',
    ].join('\n');
  });
  return `#compdef speedq
# speedq completion for zsh
_speedq() {
  local -a commands=(
${commands.map(({ name, summary }) => `    '${name}:${escape(summary)}'`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
${cases.join('\n')}
  esac
}
# Sourced, or autoloaded from $fpath.
if [[ $funcstack[1] == _speedq ]]; then _speedq "$@"; else compdef _speedq speedq; fi
`;
}

function fish(commands: readonly CompletedCommand[]): string {
  const quote = (text: string): string => `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
  const lines = commands.flatMap(({ name, summary, command }) => {
    const here = `complete -c speedq -n '__speedq_is ${name}'`;
    return [
      `complete -c speedq -n __speedq_none -a ${name} -d ${quote(summary)}`,
      ...(takesPaths(command) ? [`${here} -F`] : []),
      ...argumentWords(command).map((word) => `${here} -a ${word}`),
      ...flagsOf(command).map(({ name: flag, spec, values }) => {
        const short = spec.short === undefined ? '' : ` -s ${spec.short}`;
        const value =
          spec.type === 'boolean'
            ? ''
            : values === 'paths'
              ? ' -r -F'
              : values === 'anything'
                ? ' -x'
                : ` -x -a ${quote(values.join(' '))}`;
        return `${here} -l ${flag}${short}${value} -d ${quote(spec.description)}`;
      }),
    ];
  });
  return `# speedq completion for fish
function __speedq_none
  test (count (commandline -opc)) -eq 1
end
function __speedq_is
  set -l words (commandline -opc)
  test (count $words) -ge 2; and test $words[2] = $argv[1]
end
complete -c speedq -f
${lines.join('\n')}
`;
}
