import type { Command, OptionSpec } from './command.ts';
import { flagName } from './command.ts';
import { GLOBAL_OPTIONS } from './parse.ts';

export interface CommandSummary {
  readonly name: string;
  readonly summary: string;
}

export function generalHelp(commands: readonly CommandSummary[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    'speedq: compress InternVL3-class vision-language models to 2 or 4 bits a weight',
    '',
    'usage: speedq COMMAND [ARGUMENTS] [OPTIONS]',
    '',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    'speedq COMMAND --help says more. Data goes to stdout, progress to stderr.',
    'Exit codes: 0 ok, 1 internal error, 2 usage, 3 invalid model or data, 4 not enough space or memory,',
    '5 verification failed, 130 interrupted.',
  ].join('\n');
}

export function commandHelp({ name, summary }: CommandSummary, command: Command): string {
  const args = Object.entries(command.args);
  const usage = [
    `usage: speedq ${name}`,
    ...args.map(([key, { optional }]) => (optional === true ? `[${key.toUpperCase()}]` : key.toUpperCase())),
    ...Object.entries(command.options).flatMap(([key, spec]) =>
      spec.required === true ? [flag(key, spec)] : [],
    ),
    '[OPTIONS]',
  ].join(' ');
  const rows: [string, string][] = [
    ...args.map(([key, { description }]): [string, string] => [key.toUpperCase(), description]),
    ...Object.entries({ ...command.options, ...GLOBAL_OPTIONS }).map(
      ([key, spec]: [string, OptionSpec]): [string, string] => [
        `${spec.short === undefined ? '' : `-${spec.short}, `}${flag(key, spec)}`,
        description(spec),
      ],
    ),
  ];
  const width = Math.max(...rows.map(([left]) => left.length));
  return [
    `speedq ${name}: ${summary}`,
    '',
    usage,
    '',
    ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`),
    ...(command.details === undefined ? [] : ['', command.details]),
  ].join('\n');
}

function flag(key: string, spec: OptionSpec): string {
  if (spec.type === 'boolean') return `--${flagName(key)}`;
  const hint =
    spec.hint ?? spec.choices?.join('|') ?? { string: 'TEXT', integer: 'N', number: 'X' }[spec.type];
  return `--${flagName(key)} ${hint}`;
}

function description(spec: OptionSpec): string {
  return [
    spec.description,
    ...(spec.multiple === true ? ['(repeatable)'] : []),
    ...(spec.default === undefined ? [] : [`(default ${spec.default})`]),
  ].join(' ');
}
