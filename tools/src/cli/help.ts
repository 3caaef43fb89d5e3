import type { Command, CommandSummary, OptionSpec } from './command.ts';
import { flagName } from './command.ts';
import { GLOBAL_OPTIONS } from './parse.ts';

/** Columns that help fills; not the terminal's, so that docs/cli.md is the same everywhere. */
const WIDTH = 100;
/** A longer name of an option gets a line of its own. */
const LEFT_WIDTH = 26;

export function generalHelp(commands: readonly CommandSummary[]): string {
  return [
    'speedq: compress InternVL3-class vision-language models to 2 or 4 bits a weight',
    '',
    'usage: speedq COMMAND [ARGUMENTS] [OPTIONS]',
    '',
    ...columns(commands.map(({ name, summary }) => [name, summary])),
    '',
    'examples:',
    '  # Ask the model in this repository about a picture',
    '  speedq generate web/public/models/pico-2bit --image web/public/samples/farm.png --prompt "Where is the cow?"',
    '  # Chat with it in the browser',
    '  speedq serve web/public/models/pico-2bit --open',
    '  # Compress a model of your own, without data first',
    '  speedq quantize MODEL --method rtn --out PACKED',
    '',
    'speedq COMMAND --help says more, speedq --version which one this is. Data goes to stdout, progress to stderr.',
    'Exit codes: 0 ok, 1 internal error, 2 usage, 3 invalid model or data or not possible here,',
    '4 not enough space or memory, 5 verification failed, 130 interrupted.',
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
  return [
    `speedq ${name}: ${summary}`,
    '',
    usage,
    '',
    ...columns(rows),
    '',
    ...(command.details === undefined
      ? []
      : [...command.details.split('\n').flatMap((line) => wrap(line, WIDTH)), '']),
    'examples:',
    ...command.examples.flatMap(({ does, line }) => [`  # ${does}`, `  speedq ${line}`]),
  ].join('\n');
}

function flag(key: string, spec: OptionSpec): string {
  if (spec.type === 'boolean') return `--${flagName(key)}`;
  return `--${flagName(key)} ${valueHint(spec)}`;
}

/** What stands for the value of an option that takes one. */
export function valueHint({ hint, choices, type }: OptionSpec): string {
  return hint ?? choices?.join('|') ?? { string: 'TEXT', integer: 'N', number: 'X', boolean: '' }[type];
}

function description(spec: OptionSpec): string {
  return [
    spec.description,
    // Where the hint does not list them.
    ...(spec.hint === undefined || spec.choices === undefined ? [] : [`(${spec.choices.join(', ')})`]),
    ...(spec.multiple === true ? ['(repeatable)'] : []),
    ...(spec.default === undefined ? [] : [`(default ${spec.default})`]),
  ].join(' ');
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.min(LEFT_WIDTH, Math.max(...rows.map(([left]) => left.length)));
  const indent = ' '.repeat(width + 4);
  return rows.flatMap(([left, right]) => {
    const [first, ...more] = wrap(right, WIDTH - indent.length);
    const lines = more.map((line) => indent + line);
    return left.length > width
      ? [`  ${left}`, indent + first, ...lines]
      : [`  ${left.padEnd(width)}  ${first}`, ...lines];
  });
}

/** Lines of at most `width` characters, where no word is longer. */
function wrap(text: string, width: number): string[] {
  const lines = [''];
  for (const word of text.split(/\s+/)) {
    const line = lines.at(-1)!;
    if (line === '') lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}
