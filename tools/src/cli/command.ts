import type { Output } from '../output.ts';
import type { Progress } from '../progress.ts';

/** A flag. Keys of a command's `options` are camelCase and become --kebab-case. */
export interface OptionSpec {
  readonly type: 'string' | 'boolean' | 'integer' | 'number';
  readonly description: string;
  /** What stands for the value in help. Where it names a DIR, FILE or MODEL, shells complete paths. */
  readonly hint?: string;
  readonly short?: string;
  readonly default?: string | number | boolean;
  readonly required?: true;
  /** May be given more than once; the value is an array. */
  readonly multiple?: true;
  readonly choices?: readonly string[];
  /** Smallest allowed number. */
  readonly min?: number;
  readonly max?: number;
}

/** A positional argument; they are filled in the order of the keys. */
export interface ArgumentSpec {
  readonly description: string;
  readonly optional?: true;
  /** Without it, shells complete the names of files. */
  readonly choices?: readonly string[];
}

/** Shown by --help. A test parses every one, so none can name an option that is gone. */
export interface Example {
  /** What it is for, in a few words. */
  readonly does: string;
  /** What follows `speedq`; an argument with spaces stands in double quotes. */
  readonly line: string;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;
export type ArgumentSpecs = Readonly<Record<string, ArgumentSpec>>;

type Single<S extends OptionSpec> = S['type'] extends 'boolean'
  ? boolean
  : S['type'] extends 'string'
    ? S extends { readonly choices: readonly (infer C)[] }
      ? C
      : string
    : number;

type OptionValue<S extends OptionSpec> = S extends { readonly multiple: true }
  ? readonly Single<S>[]
  : S extends { readonly type: 'boolean' } | { readonly required: true } | { readonly default: unknown }
    ? Single<S>
    : Single<S> | undefined;

export type OptionValues<O extends OptionSpecs> = { readonly [K in keyof O]: OptionValue<O[K]> };
export type ArgumentValues<A extends ArgumentSpecs> = {
  readonly [K in keyof A]:
    | (A[K] extends { readonly choices: readonly (infer C)[] } ? C : string)
    | (A[K] extends { readonly optional: true } ? undefined : never);
};

export interface CommandContext<
  A extends ArgumentSpecs = ArgumentSpecs,
  O extends OptionSpecs = OptionSpecs,
> {
  readonly args: ArgumentValues<A>;
  readonly options: OptionValues<O>;
  readonly output: Output;
  readonly progress: Progress;
  /** Aborted by Ctrl-C: save what must be saved, then throw `aborted`. */
  readonly signal: AbortSignal;
}

/** Fields of the final {"event":"result"} line under --json. */
export type CommandResult = Readonly<Record<string, unknown>>;

export interface Command<A extends ArgumentSpecs = ArgumentSpecs, O extends OptionSpecs = OptionSpecs> {
  readonly args: A;
  readonly options: O;
  /** One to three, the plainest first. */
  readonly examples: readonly [Example, ...Example[]];
  /** More for --help, below the list of options; long lines are wrapped. */
  readonly details?: string;
  run(context: CommandContext<A, O>): Promise<CommandResult>;
}

export interface CommandSummary {
  readonly name: string;
  readonly summary: string;
}

export interface CommandEntry extends CommandSummary {
  /** Loaded when it is run: most commands need neither WebGPU nor onnxruntime. */
  readonly load: () => Promise<Command>;
}

/** Lets TypeScript infer what `run` gets from the declared arguments and options. */
export function defineCommand<const A extends ArgumentSpecs, const O extends OptionSpecs>(
  command: Command<A, O>,
): Command {
  // Method parameters are bivariant: the parser fills exactly the declared keys.
  return command;
}

/** maxNewTokens → max-new-tokens */
export function flagName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
