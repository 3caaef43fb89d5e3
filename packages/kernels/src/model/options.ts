import { SpeedqError } from '@speedq/format';
import type { InternVLConfig } from '@speedq/model';
import type { VariantChoice } from '../engine/variants.ts';
import type { KeyValueFormat } from '../ops/kv-cache/format.ts';
import { KEY_VALUE_FORMATS } from '../ops/kv-cache/format.ts';
import type { Capacities } from './plans.ts';

export interface WebGPUModelOptions {
  /** Tokens the KV cache holds. */
  readonly maxContext: number;
  /** Tokens per prefill run: bounds activations and how long an abort can go unnoticed. Default 256. */
  readonly prefillChunk?: number;
  /** Tiles per run of the vision encoder. Default: as many as keep it near 2,048 tokens. */
  readonly tilesPerBatch?: number;
  /** How keys and values are kept: half the memory of f32 in f16, nearly a quarter in q8. Default 'f32'. */
  readonly keyValueFormat?: KeyValueFormat;
  /** Variants of the kernels, as chooseVariants finds them; default: the plain ones. */
  readonly variants?: VariantChoice;
  /** For tests: keep the logits of every position of a prefill run, see readAllLogits. */
  readonly allLogits?: boolean;
}

const DEFAULT_PREFILL_CHUNK = 256;
const VISION_TOKENS_PER_BATCH = 2048;

/** The options with their defaults. @throws SpeedqError 'invalid-argument'. */
export function capacitiesOf({ vision, language }: InternVLConfig, options: WebGPUModelOptions): Capacities {
  const tileTokens = 1 + (vision.imageSize / vision.patchSize) ** 2;
  const capacities: Capacities = {
    maxContext: options.maxContext,
    // a plan of one row would be the decode plan, which takes no images
    prefillChunk: Math.max(2, Math.min(options.prefillChunk ?? DEFAULT_PREFILL_CHUNK, options.maxContext)),
    tilesPerBatch: options.tilesPerBatch ?? Math.max(1, Math.floor(VISION_TOKENS_PER_BATCH / tileTokens)),
    allLogits: options.allLogits ?? false,
    keyValueFormat: options.keyValueFormat ?? 'f32',
    variants: options.variants ?? {},
  };
  for (const name of ['maxContext', 'prefillChunk', 'tilesPerBatch'] as const) {
    const value = capacities[name];
    if (!Number.isInteger(value) || value < 1) {
      throw new SpeedqError('invalid-argument', `${name} must be a positive integer, got ${value}.`);
    }
  }
  if (!KEY_VALUE_FORMATS.includes(capacities.keyValueFormat)) {
    throw new SpeedqError(
      'invalid-argument',
      `keyValueFormat must be one of ${KEY_VALUE_FORMATS.join(', ')}, got ${capacities.keyValueFormat as string}.`,
    );
  }
  if (options.maxContext > language.maxPositionEmbeddings) {
    throw new SpeedqError(
      'invalid-argument',
      `maxContext ${options.maxContext} exceeds the ${language.maxPositionEmbeddings} positions the model was trained for.`,
    );
  }
  return capacities;
}
