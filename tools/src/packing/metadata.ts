import { SpeedqError } from '@speedq/format';
import type { ManifestPrompt, ManifestTiling, PackedManifest } from '@speedq/format';
import {
  CONTROL_TOKENS,
  IMAGENET_MEAN,
  IMAGENET_STD,
  INTERNVL_SYSTEM_PROMPT,
  openTokenizer,
  stopTokenIds,
  tokenizerJsonOf,
} from '@speedq/processor';
import type { Tokenizer, TokenizerFiles } from '@speedq/processor';
import { join } from 'node:path';
import { readOptionalJsonFile, readTextFile } from '../json-file.ts';
import type { ModelFolder } from '../model-folder.ts';

const MAX_TOKENIZER_BYTES = 64 << 20;
const MAX_SETTINGS_BYTES = 1 << 20;
/** What InternVL3 was trained with, where a folder does not say. */
const DEFAULT_MAX_TILES = 12;

type Fields = Readonly<Record<string, unknown>>;

/** Everything about a model that the runtime must not have to guess. */
export type ModelMetadata = Pick<
  PackedManifest,
  'prompt' | 'stopTokenIds' | 'tiling' | 'normalization' | 'tokensPerTile'
>;

const TOKENIZER_FILES = [
  'tokenizer.json',
  'vocab.json',
  'merges.txt',
  'added_tokens.json',
  'tokenizer_config.json',
] as const satisfies readonly (keyof TokenizerFiles)[];

/** The tokenizer of a folder; undefined where it has no tokenizer files. Throws `invalid-tokenizer`. */
export async function readTokenizer(folder: Pick<ModelFolder, 'path'>): Promise<Tokenizer | undefined> {
  const texts = await readTokenizerFiles(folder);
  return texts && openTokenizer(texts);
}

/** The same as tokenizer.json has it, whichever files there are. */
export async function readTokenizerJson(folder: Pick<ModelFolder, 'path'>): Promise<unknown> {
  const texts = await readTokenizerFiles(folder);
  return texts && tokenizerJsonOf(texts);
}

async function readTokenizerFiles({ path }: Pick<ModelFolder, 'path'>): Promise<TokenizerFiles | undefined> {
  const texts: Partial<Record<keyof TokenizerFiles, string>> = {};
  for (const name of TOKENIZER_FILES) {
    texts[name] = await readTextFile(join(path, name), {
      code: 'invalid-tokenizer',
      maxBytes: MAX_TOKENIZER_BYTES,
    });
  }
  if (texts['tokenizer.json'] === undefined && texts['vocab.json'] === undefined) return undefined;
  return texts;
}

/**
 * Resolves template, stop tokens, tiling and normalisation from the side files of a folder; a packed folder's
 * manifest has them already. Throws `invalid-config`, `invalid-tokenizer`.
 */
export async function resolveMetadata(folder: ModelFolder): Promise<ModelMetadata> {
  if (folder.kind === 'packed') {
    const { prompt, stopTokenIds, tiling, normalization, tokensPerTile } = folder.weights.manifest;
    return { prompt, stopTokenIds, tiling, normalization, tokensPerTile };
  }
  const preprocessor = await settings(folder, 'preprocessor_config.json');
  return {
    prompt: resolvePrompt(folder),
    stopTokenIds: await resolveStopTokens(folder),
    tiling: resolveTiling(folder, preprocessor),
    normalization: {
      mean: channels(preprocessor, 'image_mean', IMAGENET_MEAN),
      std: channels(preprocessor, 'image_std', IMAGENET_STD),
    },
    tokensPerTile: folder.config.tokensPerTile,
  };
}

/**
 * Original-layout folders speak with the system prompt of their template, Hugging Face-layout ones with none
 * unless a message brings it: so do the implementations that go with each.
 */
function resolvePrompt({ config, configJson }: ModelFolder): ManifestPrompt {
  const { imageStart, imageContext, imageEnd } = CONTROL_TOKENS;
  let systemPrompt: string | null = null;
  if (config.layout === 'original') {
    const { template, system_message: message } = configJson;
    if (template !== 'internvl2_5') {
      throw new SpeedqError(
        'invalid-config',
        `config.json: template is ${JSON.stringify(template)}; expected "internvl2_5", the one of InternVL3.`,
      );
    }
    systemPrompt = typeof message === 'string' ? message : INTERNVL_SYSTEM_PROMPT;
  }
  return { systemPrompt, imageStart, imageContext, imageEnd };
}

/** What ends an answer: the tokenizer's control tokens and whatever the configuration files call eos. */
async function resolveStopTokens(folder: ModelFolder): Promise<number[]> {
  const tokenizer = await readTokenizer(folder);
  const generation = await settings(folder, 'generation_config.json');
  const text = (folder.configJson.text_config ?? folder.configJson.llm_config) as Fields;
  const declared = [generation?.eos_token_id, text.eos_token_id].flat();
  const ids = new Set(tokenizer === undefined ? [] : stopTokenIds(tokenizer));
  for (const id of declared) if (typeof id === 'number') ids.add(id);
  const { vocabSize } = folder.config.language;
  const outside = [...ids].find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (outside !== undefined) {
    throw new SpeedqError(
      'invalid-config',
      `${folder.path}: stop token ${outside} is outside the vocabulary of ${vocabSize}. ` +
        'Tokenizer, generation_config.json and config.json are not of the same model.',
    );
  }
  return [...ids];
}

function resolveTiling(
  { config, configJson }: ModelFolder,
  preprocessor: Fields | undefined,
): ManifestTiling {
  const tileSize = config.vision.imageSize;
  if (config.layout === 'original') {
    const isDynamic = configJson.dynamic_image_size !== false;
    return {
      tileSize,
      minTiles: isDynamic ? tileCount(configJson, 'min_dynamic_patch', 1) : 1,
      maxTiles: isDynamic ? tileCount(configJson, 'max_dynamic_patch', DEFAULT_MAX_TILES) : 1,
      useThumbnail: configJson.use_thumbnail !== false,
    };
  }
  const { size } = preprocessor ?? {};
  for (const side of typeof size === 'object' && size !== null ? Object.values(size) : []) {
    if (side === tileSize) continue;
    throw new SpeedqError(
      'invalid-config',
      `preprocessor_config.json: size is ${JSON.stringify(size)}; expected ${tileSize}, the vision encoder's.`,
    );
  }
  return {
    tileSize,
    minTiles: tileCount(preprocessor, 'min_patches', 1),
    maxTiles: tileCount(preprocessor, 'max_patches', DEFAULT_MAX_TILES),
    // The Hugging Face processor knows no other way.
    useThumbnail: true,
  };
}

function tileCount(fields: Fields | undefined, key: string, fallback: number): number {
  const value = fields?.[key] ?? fallback;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 1024) return value;
  throw new SpeedqError(
    'invalid-config',
    `${key} is ${JSON.stringify(value)}; expected an integer from 1 to 1024.`,
  );
}

function channels(
  fields: Fields | undefined,
  key: string,
  fallback: readonly number[],
): readonly [number, number, number] {
  const value = fields?.[key] ?? fallback;
  if (Array.isArray(value) && value.length === 3 && value.every((item) => typeof item === 'number')) {
    return [value[0], value[1], value[2]];
  }
  throw new SpeedqError(
    'invalid-config',
    `preprocessor_config.json: ${key} is ${JSON.stringify(value)}; expected three numbers.`,
  );
}

async function settings({ path }: ModelFolder, name: string): Promise<Fields | undefined> {
  const json = await readOptionalJsonFile(join(path, name), {
    code: 'invalid-config',
    maxBytes: MAX_SETTINGS_BYTES,
  });
  return typeof json === 'object' && json !== null ? (json as Fields) : undefined;
}
