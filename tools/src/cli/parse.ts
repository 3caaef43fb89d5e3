import { SpeedqError } from '@speedq/format';
import { parseArgs } from 'node:util';
import type { ArgumentSpecs, OptionSpec, OptionSpecs } from './command.ts';
import { flagName } from './command.ts';
import { didYouMean } from './suggest.ts';

/** Flags that every command has. */
export const GLOBAL_OPTIONS = {
  json: { type: 'boolean', description: 'print NDJSON events; the last line is the result' },
  quiet: { type: 'boolean', short: 'q', description: 'no progress on stderr' },
  help: { type: 'boolean', short: 'h', description: 'print this help' },
} as const satisfies OptionSpecs;

export interface ParsedArguments {
  readonly args: Readonly<Record<string, string | undefined>>;
  readonly options: Readonly<Record<string, unknown>>;
}

/** Throws `invalid-argument` on anything that is not declared, missing or of the wrong type. */
export function parseArguments(
  argv: readonly string[],
  argumentSpecs: ArgumentSpecs,
  optionSpecs: OptionSpecs,
): ParsedArguments {
  const flags = Object.entries(optionSpecs).map(([key, spec]) => ({ key, spec, flag: flagName(key) }));
  const { tokens } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(
      flags.map(({ flag, spec }) => [
        flag,
        {
          type: spec.type === 'boolean' ? ('boolean' as const) : ('string' as const),
          ...(spec.short === undefined ? {} : { short: spec.short }),
        },
      ]),
    ),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const given = new Map<string, unknown[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const match = flags.find(({ flag }) => flag === token.name);
    if (match === undefined) throw unknownFlag(token.rawName, flags);
    const values = given.get(match.key) ?? [];
    if (values.length > 0 && match.spec.multiple !== true) throw usage(`--${match.flag} is given twice.`);
    given.set(match.key, [...values, optionValue(match.flag, match.spec, token.value)]);
  }
  return { args: fillArguments(positionals, argumentSpecs), options: fillOptions(given, flags) };
}

interface Flag {
  readonly key: string;
  readonly spec: OptionSpec;
  readonly flag: string;
}

function usage(message: string): SpeedqError {
  return new SpeedqError('invalid-argument', message);
}

function unknownFlag(rawName: string, flags: readonly Flag[]): SpeedqError {
  const names = flags.map(({ flag }) => `--${flag}`);
  return usage(`${rawName} is not an option of this command.${didYouMean(rawName, names)}`);
}

function optionValue(flag: string, spec: OptionSpec, text: string | undefined): unknown {
  if (spec.type === 'boolean') {
    if (text !== undefined) throw usage(`--${flag} takes no value, got ${JSON.stringify(text)}.`);
    return true;
  }
  if (text === undefined || text === '') throw usage(`--${flag} needs a value.`);
  if (spec.type === 'string') {
    checkChoice(`--${flag}`, text, spec.choices);
    return text;
  }
  const value = Number(text);
  const { min = -Infinity, max = Infinity } = spec;
  const valid = text.trim() !== '' && Number.isFinite(value) && value >= min && value <= max;
  if (!valid || (spec.type === 'integer' && !Number.isSafeInteger(value))) {
    const bounds = [min > -Infinity ? ` from ${min}` : '', max < Infinity ? ` to ${max}` : ''].join('');
    throw usage(
      `--${flag} is ${JSON.stringify(text)}; expected ${spec.type === 'integer' ? 'an integer' : 'a number'}${bounds}.`,
    );
  }
  return value;
}

function checkChoice(what: string, text: string, choices: readonly string[] | undefined): void {
  if (choices === undefined || choices.includes(text)) return;
  throw usage(
    `${what} is ${JSON.stringify(text)}; expected ${choices.length > 1 ? 'one of ' : ''}${choices.join(', ')}.` +
      didYouMean(text, choices),
  );
}

function fillOptions(
  given: ReadonlyMap<string, readonly unknown[]>,
  flags: readonly Flag[],
): Readonly<Record<string, unknown>> {
  const options: Record<string, unknown> = {};
  for (const { key, spec, flag } of flags) {
    const values = given.get(key);
    if (spec.required === true && values === undefined) {
      throw usage(`--${flag} is required (${spec.description}).`);
    }
    if (spec.multiple === true) options[key] = values ?? [];
    else options[key] = values?.[0] ?? spec.default ?? (spec.type === 'boolean' ? false : undefined);
  }
  return options;
}

function fillArguments(
  positionals: readonly string[],
  specs: ArgumentSpecs,
): Readonly<Record<string, string | undefined>> {
  const names = Object.keys(specs);
  if (positionals.length > names.length) {
    throw usage(`Unexpected argument ${JSON.stringify(positionals[names.length])}.`);
  }
  return Object.fromEntries(
    names.map((name, index) => {
      if (positionals[index] === undefined && specs[name].optional !== true) {
        throw usage(`${name.toUpperCase()} is missing (${specs[name].description}).`);
      }
      if (positionals[index] !== undefined) {
        checkChoice(name.toUpperCase(), positionals[index], specs[name].choices);
      }
      return [name, positionals[index]];
    }),
  );
}
