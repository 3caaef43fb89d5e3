import type { InternVLConfig } from '@speedq/model';
import type { VariantChoice } from '../engine/variants.ts';
import { createWebGPUModel } from '../model/webgpu-model.ts';
import { randomFloats } from '../testing/harness.ts';
import { instrument } from '../testing/instrumented-device.ts';
import type { WeightSource } from '../weights/source.ts';

export interface ModelBenchOptions {
  readonly config: InternVLConfig;
  readonly weights: WeightSource;
  /** Default: the plain kernels. */
  readonly variants?: VariantChoice;
  /** Tokens of the prompt beside those of the picture, which has one tile. */
  readonly promptTokens: number;
  readonly decodeTokens: number;
  /** Leaves the picture out. */
  readonly textOnly?: boolean;
  /** Asks and decodes before it measures: at first devices compile, and their clocks are low. */
  readonly warmUp?: boolean;
  readonly onStep?: (what: string) => void;
  readonly signal?: AbortSignal;
}

export interface ModelResult {
  readonly loadSeconds: number;
  /** One tile through encoder and projector; undefined for text only. */
  readonly pictureSeconds?: number;
  readonly promptTokens: number;
  readonly prefillSeconds: number;
  /** From the pixels to the first token. */
  readonly firstTokenSeconds: number;
  readonly decodeTokens: number;
  readonly decodeSeconds: number;
  /** In the cache, on average, while decoding. */
  readonly context: number;
  readonly dispatchesPerToken: number;
  readonly submitsPerToken: number;
  /** GPU buffers after the answer. */
  readonly memoryBytes: number;
}

/** As the runtime has it. */
export const KEY_VALUE_FORMAT = 'f16';
/** Decoded before the measurement of the decoding begins. */
const WARM_TOKENS = 32;

/** A question and its answer, as the runtime asks it: greedy, the ids of the prompt at random. */
export async function benchModel(
  device: GPUDevice,
  {
    config,
    weights,
    variants,
    promptTokens,
    decodeTokens,
    textOnly = false,
    warmUp = false,
    onStep,
    signal,
  }: ModelBenchOptions,
): Promise<ModelResult> {
  const { vision, language, tokensPerTile, imageTokenId } = config;
  const pictureTokens = textOnly ? 0 : tokensPerTile;
  const length = pictureTokens + promptTokens;
  const counting = instrument(device);
  const clock = stopwatch();
  onStep?.('loading');
  const model = await createWebGPUModel(device, config, weights, {
    maxContext: Math.min(language.maxPositionEmbeddings, length + 2 * decodeTokens + WARM_TOKENS),
    variants,
    keyValueFormat: KEY_VALUE_FORMAT,
  });
  try {
    const loadSeconds = clock();
    const text = Array.from(randomFloats(promptTokens, 1), (value) => Math.floor((value + 1) * 100));
    const ids = Uint32Array.from([
      ...text.slice(0, 4),
      ...new Array(pictureTokens).fill(imageTokenId),
      ...text.slice(4),
    ]);
    const pixels = randomFloats(3 * vision.imageSize ** 2, 2, 2);
    const question = async () => {
      clock();
      onStep?.('picture');
      const features = textOnly ? [] : [await model.encodeImages(pixels, 1, signal)];
      const pictureSeconds = clock();
      onStep?.('prefill');
      await model.prefill(ids, features, signal);
      const prefillSeconds = clock();
      for (const one of features) one.destroy();
      return { pictureSeconds, prefillSeconds };
    };
    if (warmUp) {
      await question();
      await model.decode(decodeTokens, signal);
    }
    model.truncate(0);
    const { pictureSeconds, prefillSeconds } = await question();
    onStep?.('decoding');
    // The first steps are slower on some devices.
    await model.decode(warmUp ? WARM_TOKENS : 1, signal);
    const start = model.length;
    counting.reset();
    clock();
    await model.decode(decodeTokens, signal);
    const decodeSeconds = clock();
    const { dispatches, submits } = counting.counts;
    return {
      ...{ loadSeconds, promptTokens: ids.length, prefillSeconds, decodeTokens, decodeSeconds },
      pictureSeconds: textOnly ? undefined : pictureSeconds,
      firstTokenSeconds: (textOnly ? 0 : pictureSeconds) + prefillSeconds,
      context: (start + model.length) / 2,
      dispatchesPerToken: dispatches / decodeTokens,
      submitsPerToken: submits / decodeTokens,
      memoryBytes: model.memoryBytes,
    };
  } finally {
    model.destroy();
    counting.restore();
  }
}

/** Seconds since the last call. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const seconds = (now - last) / 1000;
    last = now;
    return seconds;
  };
}
