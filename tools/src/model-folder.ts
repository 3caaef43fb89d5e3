import { MANIFEST_FILE, SpeedqError } from '@speedq/format';
import { canonicalTensors, parseConfig } from '@speedq/model';
import type { InternVLConfig, TensorSource } from '@speedq/model';
import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { readJsonFile } from './json-file.ts';
import { openFloatWeights } from './model-folder/float-weights.ts';
import type { FloatWeights } from './model-folder/float-weights.ts';
import { findImageTokenId } from './model-folder/image-token.ts';
import { openPackedWeights } from './model-folder/packed-weights.ts';
import type { PackedWeights } from './model-folder/packed-weights.ts';

/** The real ones have 6 kB. */
const MAX_CONFIG_BYTES = 1 << 20;

interface AnyModelFolder {
  readonly path: string;
  /** Of the folder. */
  readonly name: string;
  readonly config: InternVLConfig;
  /** config.json as it is. */
  readonly configJson: Readonly<Record<string, unknown>>;
  /** Plain files of the folder, sorted. */
  readonly files: readonly string[];
  /** Float values under canonical names, read when asked for; dequantized where the folder is packed. */
  readonly tensors: TensorSource;
  close(): Promise<void>;
}

/** A checkpoint in float32, fp16 or bf16, in the Hugging Face or the original layout. */
export interface FloatModelFolder extends AnyModelFolder {
  readonly kind: 'float';
  /** Under the names of the files. */
  readonly weights: FloatWeights;
}

/** A packed model (docs/format.md). */
export interface PackedModelFolder extends AnyModelFolder {
  readonly kind: 'packed';
  readonly weights: PackedWeights;
}

export type ModelFolder = FloatModelFolder | PackedModelFolder;

/**
 * Opens a model folder: reads its configuration and the headers of its weights, checks that every parameter is
 * there in its shape, and reads no weights. Close it after use.
 *
 * Throws `not-a-model`, and what parseConfig, canonicalTensors and the safetensors and manifest readers throw.
 */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  const folder = resolve(path);
  const files = await listFiles(folder);
  if (!files.includes('config.json')) throw notAModel(folder, files);
  const configJson = await readJsonFile(join(folder, 'config.json'), {
    code: 'invalid-config',
    maxBytes: MAX_CONFIG_BYTES,
  });
  const declared = parseConfig(configJson);
  const imageTokenId = declared.layout === 'original' ? await findImageTokenId(folder) : undefined;
  const config = parseConfig(configJson, { imageTokenId });
  const common = {
    path: folder,
    name: basename(folder),
    config,
    // parseConfig has found an object.
    configJson: configJson as Readonly<Record<string, unknown>>,
    files,
  };
  const isPacked = 'quantization_config' in common.configJson || files.includes(MANIFEST_FILE);
  const weights = isPacked ? await openPackedWeights(folder) : await openFloatWeights(folder);
  if (weights === undefined) throw notAModel(folder, files);
  try {
    const tensors = canonicalTensors(weights, config);
    const close = () => weights.close();
    return 'manifest' in weights
      ? { ...common, kind: 'packed', weights, tensors, close }
      : { ...common, kind: 'float', weights, tensors, close };
  } catch (error) {
    await weights.close();
    throw error;
  }
}

/** Opens a folder, hands it over, and closes it whatever happens. */
export async function withModelFolder<T>(path: string, use: (folder: ModelFolder) => Promise<T>): Promise<T> {
  const folder = await openModelFolder(path);
  try {
    return await use(folder);
  } finally {
    await folder.close();
  }
}

/** A float folder, or `not-a-model` saying that the packed one cannot serve here. */
export function requireFloat(folder: ModelFolder): FloatModelFolder {
  if (folder.kind === 'float') return folder;
  throw new SpeedqError(
    'not-a-model',
    `${folder.path} is a packed model; this step needs the float checkpoint it was made of.`,
  );
}

/** A packed folder, or `not-a-model` saying how to get one. */
export function requirePacked(folder: ModelFolder): PackedModelFolder {
  if (folder.kind === 'packed') return folder;
  throw new SpeedqError(
    'not-a-model',
    `${folder.path} is a float checkpoint; expected a packed model. Make one with speedq quantize or ` +
      'speedq export --to packed.',
  );
}

async function listFiles(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isDirectory() ? [] : [entry.name])).sort();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const found = code === 'ENOTDIR' ? 'is a file' : code === 'ENOENT' ? 'does not exist' : `failed: ${code}`;
    throw new SpeedqError('not-a-model', `${folder} ${found}; expected the folder of a model.`, { cause });
  }
}

function notAModel(folder: string, files: readonly string[]): SpeedqError {
  const shown =
    files.length === 0 ? 'no files' : files.slice(0, 8).join(', ') + (files.length > 8 ? ', …' : '');
  const other = files.find((name) => /\.(bin|pt|pth|gguf|onnx)$/.test(name));
  const advice =
    other === undefined
      ? 'Download the whole folder of the model.'
      : `Weights such as ${other} are not read: download or convert them to safetensors.`;
  return new SpeedqError(
    'not-a-model',
    `${folder} is no model folder: expected config.json with model.safetensors (or shards and their index), ` +
      `or config.json with ${MANIFEST_FILE}; found ${shown}. ${advice}`,
  );
}
