import { parseJson, SpeedqError } from '@speedq/format';
import { chooseVariants, createWebGPUModel, memoryBudget } from '@speedq/kernels';
import type {
  KeyValueFormat,
  MemoryBudget,
  TuningOptions,
  VariantChoice,
  WebGPUModel,
} from '@speedq/kernels';
import { parseConfig } from '@speedq/model';
import { CONTROL_TOKENS, openTokenizer } from '@speedq/processor';
import type { TokenizerFiles } from '@speedq/processor';
import { createCodec } from './codec.ts';
import { ChatEngine, deviceLost } from './engine.ts';
import type { ModelFiles } from './loading/model-files.ts';
import { CONFIG_FILE, tokenizerFiles } from './loading/wanted-files.ts';
import { checkModel, listTensors, packedWeights } from './packed-weights.ts';

export interface OpenEngineOptions {
  /**
   * Tokens of the KV cache; default: what the model was trained for, at most DEFAULT_CONTEXT, and less where the
   * device or `maxMemoryBytes` allow no more.
   */
  readonly contextWindow?: number;
  /** Bytes that the model may come to take; default: what the device gives. */
  readonly maxMemoryBytes?: number;
  /** How the cache keeps keys and values; default 'f16', half the memory of 'f32'. */
  readonly keyValueFormat?: KeyValueFormat;
  /**
   * Finds the fastest kernels for this device before loading; without it, and on software adapters, where a trial
   * takes long and the plain ones win, they are the plain ones.
   */
  readonly tuning?: TuningOptions;
  /** Kernels that are wanted, by op or case, whatever is fastest. */
  readonly variants?: VariantChoice;
  /** Called with what the model will take before the first shard is read. */
  readonly onBudget?: (budget: MemoryBudget) => void;
  /** Another device, when the first was lost: the model is loaded anew, and answers go on. */
  readonly newDevice?: () => Promise<GPUDevice>;
}

export const DEFAULT_KEY_VALUE_FORMAT: KeyValueFormat = 'f16';

/** A conversation about a few pictures; at InternVL3-1B's size the cache then takes 50 MB. */
const DEFAULT_CONTEXT = 4096;
/** A context is not made smaller than this by itself: a picture and a short conversation about it. */
const SMALLEST_CONTEXT = 512;

/**
 * A packed model on a device, or on the CPU by WebAssembly, ready to chat; in a worker as in Node. Everything that can be wrong with the
 * small files is found before the first shard is read.
 *
 * @throws {SpeedqError} what `ModelFiles.read` throws; `invalid-config`, `invalid-tokenizer`,
 * `missing-tensor`, `shape-mismatch`, `invalid-safetensors`, `out-of-memory`, `unsupported`.
 */
export async function openEngine(
  device: GPUDevice | 'wasm',
  files: ModelFiles,
  {
    contextWindow,
    maxMemoryBytes = Infinity,
    keyValueFormat = DEFAULT_KEY_VALUE_FORMAT,
    tuning,
    variants: wanted = {},
    onBudget,
    newDevice,
  }: OpenEngineOptions = {},
): Promise<ChatEngine> {
  const { manifest } = files;
  const text = async (name: string): Promise<string> => new TextDecoder().decode(await files.read(name));
  const configText = await text(CONFIG_FILE);
  const tokenizerTexts: Record<string, string> = {};
  for (const name of tokenizerFiles(manifest)) tokenizerTexts[name] = await text(name);
  const tokenizer = openTokenizer(tokenizerTexts satisfies TokenizerFiles);
  const config = parseConfig(readConfig(configText), {
    imageTokenId: tokenizer.tokenToId(CONTROL_TOKENS.imageContext),
  });
  checkModel(config, manifest);
  const { maxPositionEmbeddings } = config.language;
  const maxTiles = manifest.tiling.maxTiles + 1;
  const tensors = [...listTensors(manifest)];
  const wantedContext = contextWindow ?? Math.min(maxPositionEmbeddings, DEFAULT_CONTEXT);
  const kernels = { keyValueFormat, variants: wanted };
  // Fetched only here: where there is WebGPU, nobody needs it.
  const wasm = device === 'wasm' ? await import('./wasm-engine.ts') : undefined;
  if (tuning && device !== 'wasm') {
    const maxContext = Math.min(wantedContext, DEFAULT_CONTEXT);
    const choosing = chooseVariants(device, config, tensors, { ...kernels, maxContext, ...tuning });
    kernels.variants = await Promise.race([choosing, deviceLost(device)]);
  }
  const { maxContext, budget } = largestContext(
    wantedContext,
    contextWindow === undefined ? SMALLEST_CONTEXT : contextWindow,
    (context) => {
      const options = { ...kernels, maxContext: context, maxTiles };
      const budget =
        device === 'wasm'
          ? wasm!.wasmMemoryBudget(config, tensors, options)
          : memoryBudget(config, tensors, options, device.limits);
      if (budget.full.total > maxMemoryBytes) throw overBudget(manifest.name, budget, maxMemoryBytes);
      return budget;
    },
  );
  onBudget?.(budget);
  const codec = createCodec(manifest, tokenizer);
  if (device === 'wasm') {
    return new ChatEngine(await wasm!.WasmModel.create(config, packedWeights(files), { maxContext }), codec);
  }
  const load = (on: GPUDevice): Promise<WebGPUModel> => {
    // The same kernels give the same tokens; one that lacks a feature of the first runs the plain ones.
    const isAlike = [...device.features].every((feature) => on.features.has(feature));
    const options = { ...kernels, maxContext, variants: isAlike ? kernels.variants : wanted };
    return Promise.race([createWebGPUModel(on, config, packedWeights(files), options), deviceLost(on)]);
  };
  const revive = newDevice && (async () => await load(await newDevice()));
  const model = await load(device).catch((error: unknown) => {
    if (revive && error instanceof SpeedqError && error.code === 'device-lost') return revive();
    throw error;
  });
  return new ChatEngine(model, codec, { revive });
}

/** Halves the context until it fits. @throws {SpeedqError} `out-of-memory` where the smallest does not. */
function largestContext(
  wanted: number,
  smallest: number,
  budgetOf: (context: number) => MemoryBudget,
): { readonly maxContext: number; readonly budget: MemoryBudget } {
  for (let maxContext = wanted; ; maxContext = Math.max(smallest, Math.floor(maxContext / 2))) {
    try {
      return { maxContext, budget: budgetOf(maxContext) };
    } catch (error) {
      const isTooLarge = error instanceof SpeedqError && error.code === 'out-of-memory';
      if (!isTooLarge || maxContext <= smallest) throw error;
    }
  }
}

function overBudget(name: string, { full }: MemoryBudget, allowed: number): SpeedqError {
  const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;
  return new SpeedqError(
    'out-of-memory',
    `${name} would take up to ${megabytes(full.total)} of memory (weights ${megabytes(full.weights)}, ` +
      `conversation ${megabytes(full.kvCache)}, the rest work space), and ${megabytes(allowed)} are allowed. Use a ` +
      'smaller model or contextWindow, or allow more.',
  );
}

function readConfig(text: string): unknown {
  try {
    return parseJson(text);
  } catch (cause) {
    throw new SpeedqError('invalid-config', `${CONFIG_FILE} is not JSON. Pack the model again.`, { cause });
  }
}
