import {
  MANIFEST_FILE,
  planShards,
  sha256,
  shardIndex,
  stringifyManifest,
  writeShards,
} from '@speedq/format';
import type { GroupRange, ManifestFile, PackedManifest, PackedTensor, ShardPlan } from '@speedq/format';
import type { TensorSource } from '@speedq/model';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { modelConfigText } from '../json-file.ts';
import type { ModelFolder } from '../model-folder.ts';
import { INDEX_FILE } from '../model-folder/float-weights.ts';
import { writeOutputFolder } from '../output-folder.ts';
import { resolveSchemes } from '../recipes/resolve-schemes.ts';
import type { Recipe } from '../recipes/schema.ts';
import { resolveMetadata } from './metadata.ts';
import { chooseStoredFloat, quantizeTensor } from './quantize-tensor.ts';

/** What a quantizer found out about a tensor; without it the tensor is rounded to nearest. */
export interface TensorOverride {
  /** Final codes and parameters, in the scheme that the recipe gives the tensor. */
  readonly packed?: PackedTensor;
  /** Searched bounds per group [rows, columns/groupSize]. */
  readonly range?: GroupRange;
}

export interface PackOptions {
  /** Gives configuration, tokenizer and preprocessor files. */
  readonly folder: ModelFolder;
  readonly recipe: Recipe;
  /** Values to store; default: the folder's own. */
  readonly source?: TensorSource;
  readonly override?: (name: string) => TensorOverride | undefined | Promise<TensorOverride | undefined>;
  /** Tensors that nothing overrides are rounded as the reference implementation's export does. */
  readonly asReferenceExport?: boolean;
  /** Counts shards. */
  readonly onShard?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Files that go into the packed folder as they are, where the source folder has them. */
const SIDE_FILES = new Set([
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.json',
  'merges.txt',
  'added_tokens.json',
  'special_tokens_map.json',
  'chat_template.jinja',
  'chat_template.json',
  'preprocessor_config.json',
  'processor_config.json',
  'generation_config.json',
  'LICENSE',
  'LICENSE.txt',
  'NOTICE',
]);

/** Which tensor goes where, in how many bytes. Reads the tensors that stay float, to see whether fp16 holds them. */
export async function planPacking(
  recipe: Recipe,
  source: TensorSource,
  signal?: AbortSignal,
): Promise<ShardPlan> {
  const schemes = resolveSchemes(recipe, source.parameters);
  const planned = [];
  for (const { name, shape } of source.parameters) {
    signal?.throwIfAborted();
    const scheme = schemes.get(name)!;
    planned.push({
      name,
      shape,
      scheme: scheme === 'float' ? await chooseStoredFloat(source, name) : scheme,
    });
  }
  return planShards(planned);
}

/**
 * Writes a packed model (docs/format.md) into an existing empty folder and returns its manifest, which is
 * written last. One tensor and one shard are in memory at a time.
 * Throws `shape-mismatch`, `not-representable`, `invalid-recipe`, `invalid-config`, `invalid-tokenizer`.
 */
export async function writePackedModel(
  options: PackOptions,
  outDir: string,
  name = basename(outDir),
): Promise<PackedManifest> {
  const { folder, recipe, source = folder.tensors, override, onShard, signal } = options;
  const metadata = await resolveMetadata(folder);
  const plan = await planPacking(recipe, source, signal);
  const reference = options.asReferenceExport ? 'export' : !recipe.fixes.storedArithmetic;
  const files: ManifestFile[] = [];
  const write = async (name: string, bytes: Uint8Array): Promise<void> => {
    await writeFile(join(outDir, name), bytes);
    files.push({ name, bytes: bytes.length, sha256: await sha256(bytes) });
  };
  const encoder = new TextEncoder();

  await write('config.json', encoder.encode(packedConfig(folder, recipe)));
  for (const file of sideFiles(folder)) await write(file, await readFile(join(folder.path, file)));
  const shards = writeShards(plan, async (name) => {
    const { packed, range } = (await override?.(name)) ?? {};
    return packed ?? quantizeTensor(source, name, plan.tensors.get(name)!.scheme, { range, reference });
  });
  let done = 0;
  for await (const { name, bytes } of shards) {
    signal?.throwIfAborted();
    await write(name, bytes);
    onShard?.(++done, plan.shards.length);
  }
  await write(INDEX_FILE, encoder.encode(shardIndex(plan)));
  const manifest: PackedManifest = { name, files, tensors: plan.tensors, ...metadata };
  await writeFile(join(outDir, MANIFEST_FILE), stringifyManifest(manifest));
  return manifest;
}

/** writePackedModel into `outDir`, which appears when it is complete. Throws `output-exists` too. */
export async function packModel(
  options: PackOptions & { readonly outDir: string; readonly force?: boolean },
): Promise<PackedManifest> {
  const { outDir, force } = options;
  return writeOutputFolder(outDir, { force, marker: MANIFEST_FILE }, (partial) =>
    writePackedModel(options, partial, basename(resolve(outDir))),
  );
}

/** Names of a folder's files that are neither configuration nor weights. */
export function sideFiles({ files }: ModelFolder): string[] {
  return files.filter((file) => SIDE_FILES.has(file));
}

/** config.json of the source, saying that and how the weights are quantized. */
export function packedConfig({ config, configJson }: ModelFolder, recipe: Recipe): string {
  return modelConfigText({
    ...configJson,
    // The original layout leaves this id to the tokenizer; readers of the packed model need not look there.
    ...(config.layout === 'original' ? { img_context_token_id: config.imageTokenId } : {}),
    quantization_config: {
      quant_method: 'speedq',
      format_version: 1,
      recipe: recipe.name,
      schemes: recipe.schemes,
    },
  });
}
