import { SpeedqError } from '@speedq/format';
import { createWebGPUModel, memoryBudget } from '@speedq/kernels';
import type { MemoryBudget } from '@speedq/kernels';
import { parseConfig } from '@speedq/model';
import { CONTROL_TOKENS, openTokenizer } from '@speedq/processor';
import type { TokenizerFiles } from '@speedq/processor';
import { createCodec } from './codec.ts';
import { ChatEngine } from './engine.ts';
import type { ModelFiles } from './loading/model-files.ts';
import { CONFIG_FILE, tokenizerFiles } from './loading/wanted-files.ts';
import { checkModel, listTensors, packedWeights } from './packed-weights.ts';

export interface OpenEngineOptions {
  /** Tokens of the KV cache; default: what the model was trained for, at most DEFAULT_CONTEXT. */
  readonly contextWindow?: number;
  /** GPU bytes that the model may come to take; default: what the device gives. */
  readonly maxMemoryBytes?: number;
  /** Called with what the model will take before the first shard is read. */
  readonly onBudget?: (budget: MemoryBudget) => void;
}

/** A conversation about a few pictures; at InternVL3-1B's size the cache then takes 100 MB. */
const DEFAULT_CONTEXT = 4096;

/**
 * A packed model on a device, ready to chat; in a worker as in Node. Everything that can be wrong with the
 * small files is found before the first shard is read.
 *
 * @throws {SpeedqError} what `ModelFiles.read` throws; `invalid-config`, `invalid-tokenizer`,
 * `missing-tensor`, `shape-mismatch`, `invalid-safetensors`, `out-of-memory`, `unsupported`.
 */
export async function openEngine(
  device: GPUDevice,
  files: ModelFiles,
  { contextWindow, maxMemoryBytes = Infinity, onBudget }: OpenEngineOptions = {},
): Promise<ChatEngine> {
  const { manifest } = files;
  const text = async (name: string): Promise<string> => new TextDecoder().decode(await files.read(name));
  const configText = await text(CONFIG_FILE);
  const tokenizerTexts: Record<string, string> = {};
  for (const name of tokenizerFiles(manifest)) tokenizerTexts[name] = await text(name);
  const tokenizer = openTokenizer(tokenizerTexts satisfies TokenizerFiles);
  const config = parseConfig(parseJson(configText), {
    imageTokenId: tokenizer.tokenToId(CONTROL_TOKENS.imageContext),
  });
  checkModel(config, manifest);
  const { maxPositionEmbeddings } = config.language;
  const maxContext = contextWindow ?? Math.min(maxPositionEmbeddings, DEFAULT_CONTEXT);
  const maxTiles = manifest.tiling.maxTiles + 1;
  const budget = memoryBudget(config, listTensors(manifest), { maxContext, maxTiles }, device.limits);
  if (budget.full.total > maxMemoryBytes) throw overBudget(manifest.name, budget, maxMemoryBytes);
  onBudget?.(budget);
  const model = await createWebGPUModel(device, config, packedWeights(files), { maxContext });
  return new ChatEngine(model, createCodec(manifest, tokenizer));
}

function overBudget(name: string, { full }: MemoryBudget, allowed: number): SpeedqError {
  const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;
  return new SpeedqError(
    'out-of-memory',
    `${name} would take up to ${megabytes(full.total)} of graphics memory (weights ${megabytes(full.weights)}, ` +
      `conversation ${megabytes(full.kvCache)}, the rest work space), and ${megabytes(allowed)} are allowed. Use a ` +
      'smaller model or contextWindow, or allow more.',
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SpeedqError('invalid-config', `${CONFIG_FILE} is not JSON. Pack the model again.`, { cause });
  }
}
