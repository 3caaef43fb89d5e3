import { SpeedqError } from '@speedq/format';
import type { TensorSource } from '@speedq/model';
import { elementCount } from '@speedq/model';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { RunLog } from '../eval/run-log.ts';
import { requireFloat, withModelFolder } from '../model-folder.ts';
import type { FloatModelFolder } from '../model-folder.ts';
import { formatBytes } from '../output.ts';
import { readTokenizer, resolveMetadata } from '../packing/metadata.ts';
import { planPacking } from '../packing/pack-model.ts';
import { predictFiles } from '../packing/predict-files.ts';
import type { Progress } from '../progress.ts';
import { prepareSamples } from '../quantize/data/samples.ts';
import { findSources } from '../quantize/data/sources.ts';
import { hashFiles, hashModel } from '../quantize/fingerprint.ts';
import { resolveSchemes } from '../recipes/resolve-schemes.ts';
import type { Recipe } from '../recipes/schema.ts';
import { chooseBits } from './choose-bits.ts';
import type { Choice } from './choose-bits.ts';
import { Sensitivity } from './sensitivity.ts';
import type { SensitivityOptions } from './sensitivity.ts';
import { targetLabel } from './target.ts';
import type { Target } from './target.ts';
import { unitsOf } from './units.ts';
import type { Unit } from './units.ts';

/** Conversations whose answers are compared. */
const CONVERSATIONS = 16;

interface AllocateOptions {
  /** Folder of the float model. */
  readonly model: string;
  readonly data: string;
  readonly recipe: Recipe;
  readonly target: Target;
  /** What was measured so far; a killed run goes on from there. */
  readonly log: string;
  readonly seed: number;
  readonly threads: number;
  readonly force: boolean;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

interface Allocation {
  /** The given recipe with a scheme for each module. */
  readonly recipe: Recipe;
  readonly units: readonly {
    readonly name: string;
    readonly scheme: string;
    /** By scheme, in nats. */
    readonly sensitivity: Readonly<Record<string, number>>;
  }[];
  /** Forgets what was measured: the result is complete. */
  discard(): Promise<void>;
}

/**
 * Spends bits where the model's answers need them: measures each unit's sensitivity at each of its choices, then
 * chooses so that the sum is small and the target is kept. Modules that the recipe keeps float stay float.
 * Throws `invalid-recipe` where the target cannot be met, `resume-mismatch`, and what data and models throw.
 */
export async function allocateBits(options: AllocateOptions): Promise<Allocation> {
  return withModelFolder(options.model, async (opened) => {
    const folder = requireFloat(opened);
    const { recipe, target } = options;
    const { parameters } = folder.tensors;
    const units = unitsOf(parameters, resolveSchemes(recipe, parameters), target.kind === 'size');
    const log = await openLog(folder, options);
    try {
      const losses = await measureAll(folder, units, log, options);
      const choices = units.map((unit, u) =>
        unit.choices.map(({ bytes }, c): Choice => ({ bytes, loss: losses[u][c] })),
      );
      const { chosen, allocated } = await keepTarget(folder, units, choices, options);
      return {
        recipe: allocated,
        units: units.map((unit, u) => ({
          name: unit.name,
          scheme: unit.choices[chosen[u]].scheme,
          sensitivity: Object.fromEntries(unit.choices.map(({ scheme }, c) => [scheme, losses[u][c]])),
        })),
        discard: () => log.remove(),
      };
    } catch (error) {
      await log.close();
      throw error;
    }
  });
}

interface Measured {
  /** Unit and scheme. */
  readonly index: string;
  readonly loss: number;
}

async function openLog(
  folder: FloatModelFolder,
  { data, recipe, seed, threads, log, force }: AllocateOptions,
): Promise<RunLog<Measured>> {
  await mkdir(dirname(log), { recursive: true });
  const { files } = await findSources(data);
  const fingerprint = {
    model: await hashModel(folder),
    reference: null,
    data: await hashFiles(files),
    settings: { schemes: recipe.schemes, data: recipe.data, seed, threads, conversations: CONVERSATIONS },
  };
  return RunLog.open<Measured>(log, fingerprint, force);
}

/** Losses [unit][choice]; those in the log are not measured again. */
async function measureAll(
  folder: FloatModelFolder,
  units: readonly Unit[],
  log: RunLog<Measured>,
  options: AllocateOptions,
): Promise<number[][]> {
  const pending = units.flatMap((unit) => unit.choices.map(({ scheme }) => indexOf(unit, scheme)));
  const known = new Map([...log.answers].map(([index, { loss }]) => [index, loss]));
  if (!pending.every((index) => known.has(index))) {
    const task = options.progress.start('measuring sensitivity', pending.length);
    const sensitivity = await Sensitivity.create(await prepare(folder, options));
    try {
      for (const unit of units) {
        for (const { scheme } of unit.choices) {
          const index = indexOf(unit, scheme);
          if (known.has(index)) continue;
          // Lets an interrupt come through: onnxruntime keeps the thread busy.
          await new Promise((resolve) => setImmediate(resolve));
          options.signal?.throwIfAborted();
          const loss = await sensitivity.measure(unit, scheme);
          known.set(index, loss);
          await log.append([{ index, loss }]);
          task.update(known.size, unit.name);
        }
      }
    } finally {
      await sensitivity.release();
    }
    task.finish();
  }
  return units.map((unit) => unit.choices.map(({ scheme }) => known.get(indexOf(unit, scheme))!));
}

function indexOf({ name }: Unit, scheme: string): string {
  return `${name} ${scheme}`;
}

async function prepare(
  folder: FloatModelFolder,
  { data, seed, threads, recipe }: AllocateOptions,
): Promise<SensitivityOptions> {
  const { config } = folder;
  const metadata = await resolveMetadata(folder);
  const tokenizer = await readTokenizer(folder);
  if (tokenizer === undefined) {
    throw new SpeedqError(
      'invalid-tokenizer',
      `${folder.path} has no tokenizer.json (nor vocab.json and merges.txt), without which sensitivity cannot be ` +
        'measured. Download the whole folder of the model, or name a recipe with fixed schemes.',
    );
  }
  const { sources } = await findSources(data);
  const { samples, pictures } = await prepareSamples({
    ...{ sources, metadata, seed, wanted: CONVERSATIONS, wantedPictures: 0, frames: recipe.data },
    template: { tokenizer, tokensPerTile: config.tokensPerTile, systemPrompt: metadata.prompt.systemPrompt },
    maxLength: config.language.maxPositionEmbeddings,
  });
  return { config, parameters: await readAll(folder.tensors), samples, pictures, threads };
}

async function readAll(source: TensorSource): Promise<Map<string, Float32Array>> {
  const parameters = new Map<string, Float32Array>();
  for (const { name } of source.parameters) parameters.set(name, await source.read(name));
  return parameters;
}

/** Chooses within the target; for a size again with a little less until all files, headers included, keep to it. */
async function keepTarget(
  folder: FloatModelFolder,
  units: readonly Unit[],
  choices: readonly (readonly Choice[])[],
  { recipe, target, signal }: AllocateOptions,
): Promise<{ readonly chosen: readonly number[]; readonly allocated: Recipe }> {
  const apply = (chosen: readonly number[]) => withSchemes(recipe, units, chosen, target);
  const fileBytes = async (allocated: Recipe): Promise<number> => {
    const plan = await planPacking(allocated, folder.tensors, signal);
    const files = await predictFiles(folder, allocated, plan);
    return files.reduce((sum, file) => sum + file.bytes, 0);
  };
  const smallest = choices.map((own) =>
    own.findIndex(({ bytes }) => own.every((other) => bytes <= other.bytes)),
  );
  const spent = (chosen: readonly number[]) =>
    chosen.reduce((sum, choice, unit) => sum + choices[unit][choice].bytes, 0);
  if (target.kind === 'bits') {
    const weights = units.reduce(
      (sum, unit) => sum + unit.parameters.reduce((own, { shape }) => own + elementCount(shape), 0),
      0,
    );
    const chosen = chooseBits(choices, (target.bitsPerWeight * weights) / 8);
    if (chosen !== undefined) return { chosen, allocated: apply(chosen) };
    const least = (spent(smallest) * 8) / weights;
    throw new SpeedqError(
      'invalid-recipe',
      `${target.bitsPerWeight} bits a weight cannot be kept: the least these schemes take is ${least.toFixed(4)}.`,
    );
  }
  let budget = target.bytes - ((await fileBytes(apply(smallest))) - spent(smallest));
  for (;;) {
    const chosen = chooseBits(choices, budget);
    if (chosen === undefined) {
      const least = await fileBytes(apply(smallest));
      throw new SpeedqError(
        'invalid-recipe',
        `${formatBytes(target.bytes)} cannot be kept: the least that ${folder.name} takes is ${formatBytes(least)} ` +
          `(${least} bytes). Give more, or quantize the projector too.`,
      );
    }
    const allocated = apply(chosen);
    const excess = (await fileBytes(allocated)) - target.bytes;
    if (excess <= 0) return { chosen, allocated };
    budget -= excess;
  }
}

function withSchemes(
  recipe: Recipe,
  units: readonly Unit[],
  chosen: readonly number[],
  target: Target,
): Recipe {
  const modules = units.flatMap(({ parameters, choices }, unit) =>
    parameters.map(({ name }) => [name.replace(/\.weight$/, ''), choices[chosen[unit]].scheme] as const),
  );
  return {
    ...recipe,
    name: `${recipe.name}-${targetLabel(target)}`,
    schemes: { ...recipe.schemes, modules: { ...recipe.schemes.modules, ...Object.fromEntries(modules) } },
  };
}
