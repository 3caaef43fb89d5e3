import { SYMMETRIC_4BIT, SpeedqError, packBilevel, packSymmetric, schemeName } from '@speedq/format';
import type { BilevelScheme, PackedTensor } from '@speedq/format';
import { canonicalNames } from '@speedq/model';
import type { ParameterSpec, TensorSource } from '@speedq/model';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { RECIPES } from '../recipes/recipes.ts';
import type { Recipe, RecipeScheme } from '../recipes/schema.ts';
import { readTorchFile } from './torch-file.ts';
import type { TorchTensor } from './torch-file.ts';

/**
 * The folder of integer codes that the reference implementation's export writes beside its checkpoint
 * (`save_fake_quant.py --save_quant_info`):
 *
 *     0/self_attn.q_proj …   one file per linear layer of block 0, 1, …: the language model's, then, where it
 *                            quantized them, the vision encoder's
 *     embed_tokens/embed_tokens, lm_head/lm_head
 *     not_quantized_weights.pt   not read: the checkpoint has them
 *
 * Each file is a dictionary that torch.save wrote. Codes are in rows as the weight is; scales and zero points run
 * along the rows of one column group, then of the next. Bits are told by the codes.
 */
export interface ReferenceCodes {
  /** What the folder holds codes for, in their schemes; all else float. */
  readonly recipe: Recipe;
  /** A tensor as the codes say; undefined for one without codes. */
  read(name: string): Promise<PackedTensor | undefined>;
}

const TABLES: Readonly<Record<string, string>> = {
  'language_model.model.embed_tokens.weight': 'embed_tokens',
  'language_model.lm_head.weight': 'lm_head',
};

interface CodeFile {
  readonly path: string;
  /** Rows of the file that are the tensor's, where the file holds several: block `index` of `of`. */
  readonly block?: { readonly index: number; readonly of: number };
}

/**
 * Throws `invalid-data` (a file is not what it should be), `missing-tensor` (a linear layer without codes),
 * `shape-mismatch`, `unsupported` (a scheme that has no packed layout).
 */
export async function openReferenceCodes(folder: string, source: TensorSource): Promise<ReferenceCodes> {
  const files = await findFiles(folder, source);
  const read = async (name: string): Promise<PackedTensor | undefined> => {
    const file = files.get(name);
    if (file === undefined) return undefined;
    const tensors = await readTorchFile(file.path);
    const parameter = source.parameter(name);
    return Object.hasOwn(TABLES, name)
      ? tableOf(tensors, parameter, file)
      : bilevelOf(tensors, parameter, file);
  };
  const found = new Map<string, RecipeScheme>();
  for (const name of files.keys()) {
    const { scheme } = (await read(name))!;
    found.set(name, schemeName(scheme) as RecipeScheme);
  }
  return { recipe: recipeOf(found, source), read };
}

/** The file of every tensor that has codes. */
async function findFiles(folder: string, source: TensorSource): Promise<Map<string, CodeFile>> {
  const files = new Map<string, CodeFile>();
  for (const [name, table] of Object.entries(TABLES)) {
    files.set(name, { path: join(folder, table, table) });
  }
  const blocks = (await list(folder)).filter((name) => /^\d+$/.test(name)).sort((a, b) => +a - +b);
  let visionStart: number | undefined;
  for (const block of blocks) {
    for (const linear of await list(join(folder, block))) {
      const isLanguage = /^(self_attn|mlp)\..+_proj$/.test(linear);
      if (!isLanguage) visionStart ??= Number(block);
      const stored = isLanguage
        ? `language_model.model.layers.${block}.${linear}.weight`
        : `vision_model.encoder.layers.${Number(block) - visionStart!}.${linear}.weight`;
      for (const { name, block: rows } of canonicalNames(stored)) {
        files.set(name, { path: join(folder, block, linear), block: rows });
      }
    }
  }
  const known = new Set(source.parameters.map(({ name }) => name));
  const unknown = [...files].find(([name]) => !known.has(name));
  if (unknown !== undefined) {
    throw new SpeedqError(
      'unexpected-tensor',
      `${unknown[1].path}: the checkpoint has no ${unknown[0]}. Codes and checkpoint are not of the same model.`,
    );
  }
  const missing = source.parameters.find(
    ({ name, role, part }) => role === 'linear' && part === 'language' && !files.has(name),
  );
  if (missing !== undefined) {
    throw new SpeedqError(
      'missing-tensor',
      `${folder} has no codes for ${missing.name}. Expected the folder that the reference's export wrote with ` +
        '--save_quant_info: 0, 1, …, embed_tokens and lm_head.',
    );
  }
  return files;
}

async function list(folder: string): Promise<string[]> {
  return readdir(folder).catch((cause: unknown) => {
    throw new SpeedqError('missing-tensor', `${folder} is no folder of codes.`, { cause });
  });
}

function bilevelOf(
  tensors: ReadonlyMap<string, TorchTensor>,
  { name, shape }: ParameterSpec,
  { path, block }: CodeFile,
): PackedTensor {
  const [rows, columns] = shape;
  const weights = need(tensors, 'quant_weights', path);
  const groupSize = weights.shape.at(-1)!;
  const groups = columns / groupSize;
  const scaleCodes = need(tensors, 'quant_layer_scale', path);
  const scaleGroupSize = scaleCodes.shape.at(-1)!;
  const zeros = need(tensors, 'quant_layer_zeros', path);
  const steps = need(tensors, 'quant_layer_scale_qq_scale', path);
  const stepZeros = need(tensors, 'quant_layer_scale_qq_zero', path);
  const storedRows = rows * (block?.of ?? 1);
  const firstRow = rows * (block?.index ?? 0);
  const panels = storedRows / scaleGroupSize;
  const fits =
    weights.values.length === storedRows * columns &&
    [groups, panels, firstRow / scaleGroupSize].every(Number.isInteger) &&
    zeros.values.length === storedRows * groups &&
    scaleCodes.values.length === storedRows * groups &&
    steps.values.length === panels * groups &&
    stepZeros.values.length === panels * groups;
  if (!fits) {
    throw new SpeedqError(
      'shape-mismatch',
      `${path}: codes [${weights.shape.join(', ')}] with scale codes [${scaleCodes.shape.join(', ')}] do not ` +
        `belong to ${name} [${shape.join(', ')}]. Codes and checkpoint are not of the same model.`,
    );
  }
  const codes = integers(weights.values.subarray(firstRow * columns, (firstRow + rows) * columns), path);
  const zero = new Uint8Array(rows * groups);
  const scaleCode = new Uint8Array(rows * groups);
  for (let group = 0; group < groups; group++) {
    for (let row = 0; row < rows; row++) {
      // Column group by column group, all rows of each.
      const index = group * storedRows + firstRow + row;
      zero[row * groups + group] = zeros.values[index];
      scaleCode[row * groups + group] = scaleCodes.values[index];
    }
  }
  integers(zeros.values, path);
  integers(scaleCodes.values, path);
  const ownPanels = rows / scaleGroupSize;
  const step = new Float32Array(ownPanels * groups);
  const minimum = new Float32Array(ownPanels * groups);
  for (let panel = 0; panel < ownPanels; panel++) {
    for (let group = 0; group < groups; group++) {
      const index = group * panels + firstRow / scaleGroupSize + panel;
      step[panel * groups + group] = steps.values[index];
      minimum[panel * groups + group] = -steps.values[index] * stepZeros.values[index];
    }
  }
  const most = (values: Uint8Array) => values.reduce((largest, value) => Math.max(largest, value), 0);
  const largest = Math.max(most(codes), most(zero));
  const bits = largest <= 3 ? 2 : largest <= 7 ? 3 : 4;
  const scheme: BilevelScheme = { kind: 'bilevel', bits, groupSize, scaleGroupSize, zero: 'integer' };
  // Packing derives the scales from step and minimum.
  const scale = new Float32Array(0);
  return packBilevel({ scheme, rows, columns, codes, scale, zero, scaleCode, step, minimum }, name);
}

function tableOf(
  tensors: ReadonlyMap<string, TorchTensor>,
  { name, shape }: ParameterSpec,
  { path }: CodeFile,
): PackedTensor {
  const [rows, columns] = shape;
  const weights = need(tensors, 'weight', path);
  const scales = need(tensors, 'scale', path);
  if (weights.values.length !== rows * columns || scales.values.length !== (rows * columns) / 32) {
    throw new SpeedqError(
      'shape-mismatch',
      `${path}: codes [${weights.shape.join(', ')}] with scales [${scales.shape.join(', ')}] do not belong to ` +
        `${name} [${shape.join(', ')}]. Codes and checkpoint are not of the same model.`,
    );
  }
  const codes = integers(weights.values, path);
  return packSymmetric({ scheme: SYMMETRIC_4BIT, rows, columns, codes, scale: scales.values }, name);
}

function need(tensors: ReadonlyMap<string, TorchTensor>, key: string, path: string): TorchTensor {
  const tensor = tensors.get(key);
  if (tensor !== undefined) return tensor;
  throw new SpeedqError(
    'invalid-data',
    `${path} holds no ${key}; found ${[...tensors.keys()].join(', ') || 'no tensors'}. ` +
      "Expected what the reference's bilevel quantizers export.",
  );
}

/** Values as 4-bit integers. */
function integers(values: Float32Array, path: string): Uint8Array {
  const wrong = values.find((value) => !(Number.isInteger(value) && value >= 0 && value <= 15));
  if (wrong === undefined) return Uint8Array.from(values);
  throw new SpeedqError('invalid-data', `${path} holds ${wrong} where codes of 0 to 15 are expected.`);
}

/** Says by part, and where a part is mixed by module, what the folder holds. */
function recipeOf(found: ReadonlyMap<string, RecipeScheme>, source: TensorSource): Recipe {
  const schemes = {
    vision: 'float',
    projector: 'float',
    language: 'float',
    embedding: 'float',
    head: 'float',
  } as Record<ParameterSpec['part'], RecipeScheme>;
  const modules: Record<string, RecipeScheme> = {};
  for (const { name, part } of source.parameters) {
    const scheme = found.get(name);
    if (scheme === undefined) continue;
    if (schemes[part] === 'float') schemes[part] = scheme;
    else if (schemes[part] !== scheme) modules[name.replace(/\.weight$/, '')] = scheme;
  }
  return {
    ...RECIPES['2bit'],
    name: 'reference-codes',
    schemes: { ...schemes, modules } as Recipe['schemes'],
  };
}
