import type { InternVLConfig } from '@speedq/model';
import type { VariantChoice } from '../engine/variants.ts';
import { chooseVariants } from '../model/choose-variants.ts';
import type { TuningOptions } from '../tuning/fastest-variants.ts';
import type { StoredTensorInfo, WeightSource } from '../weights/source.ts';
import type { DeviceRates } from './device-rates.ts';
import { measureDevice } from './device-rates.ts';
import type { ModelResult } from './end-to-end.ts';
import { KEY_VALUE_FORMAT, benchModel } from './end-to-end.ts';
import type { KernelResult, LinearCase } from './kernels.ts';
import { benchKernels } from './kernels.ts';
import type { Phase, RecordedLayers } from './layers.ts';
import { schemesOf, withLayers } from './layers.ts';
import { randomWeights } from './random-weights.ts';

export type BenchSubject = 'kernels' | 'decode' | 'prefill';

const PHASES: Record<BenchSubject, readonly Phase[]> = {
  kernels: ['decode', 'prefill', 'vision'],
  decode: ['decode'],
  prefill: ['vision', 'prefill'],
};

/** Tokens of a prefill run, as the runtime has it; the prompt of `prefill` is this many of them. */
const CHUNK = 256;
const PROMPT_CHUNKS = 2;

export interface BenchOptions {
  readonly subject: BenchSubject;
  readonly config: InternVLConfig;
  readonly bits: 2 | 4;
  readonly isSoftware: boolean;
  /** Layers that are built; default: all, on a software adapter one of each kind. */
  readonly layers?: RecordedLayers;
  /** For `decode` and `prefill`, of all layers; default: random ones. */
  readonly weights?: WeightSource;
  /** Tokens in the cache when decoding begins. */
  readonly context?: number;
  readonly decodeTokens?: number;
  /** Finds the fastest variants of the kernels first, and measures with those; default: the plain ones. */
  readonly tuning?: TuningOptions;
  readonly compare?: (linear: LinearCase) => Promise<number | undefined>;
  readonly onStep?: (what: string) => void;
  readonly onKernel?: (result: KernelResult) => void;
  readonly signal?: AbortSignal;
}

export interface BenchReport {
  readonly subject: BenchSubject;
  readonly bits: 2 | 4;
  readonly isSoftware: boolean;
  readonly rates: DeviceRates;
  /** What the tuning chose; empty: all plain. */
  readonly variants: VariantChoice;
  /** Of the model, and those that were built. */
  readonly layers: RecordedLayers;
  readonly builtLayers: RecordedLayers;
  readonly kernels: readonly KernelResult[];
  /** End to end, of the built layers. */
  readonly model?: ModelResult;
  readonly decode?: DecodeFigures;
  readonly prefill?: PrefillFigures;
}

export interface DecodeFigures {
  readonly tokensPerSecond: number;
  readonly bytesPerToken: number;
  readonly bandwidthShare: number;
  readonly dispatchesPerToken: number;
  readonly submitsPerToken: number;
  /** The other runtime's products alone, and by how much the whole token is faster than these. */
  readonly otherSecondsPerToken?: number;
  readonly ratio?: number;
}

export interface PrefillFigures {
  readonly tokensPerSecond: number;
  readonly pictureSeconds: number;
  readonly firstTokenSeconds: number;
  readonly operations: number;
  readonly rateShare: number;
  /** The other runtime's products alone, picture included, and by how much the first token comes sooner. */
  readonly otherSeconds?: number;
  readonly ratio?: number;
}

/** The yardsticks, every kernel by itself, and, but for `kernels`, an answer of the model: in one run. */
export async function benchDevice(device: GPUDevice, options: BenchOptions): Promise<BenchReport> {
  const { subject, config, bits, isSoftware, tuning, compare, onStep, onKernel, signal } = options;
  const { context = isSoftware ? 256 : 1024, decodeTokens = isSoftware ? 4 : 512 } = options;
  const layers = { vision: config.vision.numLayers, language: config.language.numLayers };
  const builtLayers = options.layers ?? (isSoftware ? { vision: 1, language: 1 } : layers);
  const built = withLayers(config, builtLayers);
  onStep?.('device');
  const rates = await measureDevice(device, isSoftware);
  onStep?.('variants');
  const variants = tuning === undefined ? {} : await tunedVariants(device, config, bits, tuning);
  onStep?.('kernels');
  const kernels = await benchKernels(device, {
    ...{ config: built, bits, rates, variants, context, chunk: CHUNK, tiles: 1, compare, onKernel, signal },
    phases: PHASES[subject],
  });
  const report = { subject, bits, isSoftware, rates, variants, layers, builtLayers, kernels };
  if (subject === 'kernels') return report;

  const isDecode = subject === 'decode';
  const model = await benchModel(device, {
    ...{ config: built, variants, onStep, signal, warmUp: !isSoftware },
    weights: options.weights ?? randomWeights(built, schemesOf(bits)),
    promptTokens: isDecode ? context : PROMPT_CHUNKS * CHUNK - config.tokensPerTile,
    decodeTokens: isDecode ? decodeTokens : 1,
    textOnly: isDecode,
  });
  return isDecode
    ? { ...report, model, decode: decodeFigures(model, kernels, builtLayers, rates) }
    : { ...report, model, prefill: prefillFigures(model, kernels, builtLayers, rates) };
}

/** Of random weights: all layers have the same shapes, so one of each kind is enough. */
async function tunedVariants(
  device: GPUDevice,
  config: InternVLConfig,
  bits: 2 | 4,
  tuning: TuningOptions,
): Promise<VariantChoice> {
  const single = withLayers(config, { vision: 1, language: 1 });
  const tensors: StoredTensorInfo[] = [];
  for await (const shard of randomWeights(single, schemesOf(bits)).shards()) tensors.push(...shard.tensors);
  const maxContext = Math.min(config.language.maxPositionEmbeddings, 4096);
  return chooseVariants(device, single, tensors, { ...tuning, maxContext, keyValueFormat: KEY_VALUE_FORMAT });
}

function decodeFigures(
  model: ModelResult,
  kernels: readonly KernelResult[],
  layers: RecordedLayers,
  rates: DeviceRates,
): DecodeFigures {
  const seconds = model.decodeSeconds / model.decodeTokens;
  const bytesPerToken = total(kernels, layers, ({ bytes }) => bytes);
  const otherSecondsPerToken = otherTotal(kernels, layers);
  return {
    tokensPerSecond: 1 / seconds,
    bytesPerToken,
    bandwidthShare: bytesPerToken / seconds / rates.bytesPerSecond,
    dispatchesPerToken: model.dispatchesPerToken,
    submitsPerToken: model.submitsPerToken,
    otherSecondsPerToken,
    ratio: otherSecondsPerToken && otherSecondsPerToken / seconds,
  };
}

function prefillFigures(
  { promptTokens, prefillSeconds, pictureSeconds = 0, firstTokenSeconds }: ModelResult,
  kernels: readonly KernelResult[],
  layers: RecordedLayers,
  rates: DeviceRates,
): PrefillFigures {
  const ofPhase = (phase: Phase) => kernels.filter((kernel) => kernel.phase === phase);
  const add = (sum: (kernels: readonly KernelResult[]) => number | undefined): number | undefined => {
    const [picture, chunk] = [sum(ofPhase('vision')), sum(ofPhase('prefill'))];
    return picture === undefined || chunk === undefined ? undefined : picture + PROMPT_CHUNKS * chunk;
  };
  const operations = add((some) => total(some, layers, (kernel) => kernel.operations))!;
  const otherSeconds = add((some) => otherTotal(some, layers));
  return {
    tokensPerSecond: promptTokens / prefillSeconds,
    pictureSeconds,
    firstTokenSeconds,
    operations,
    rateShare: operations / firstTokenSeconds / rates.operationsPerSecond,
    otherSeconds,
    ratio: otherSeconds && otherSeconds / firstTokenSeconds,
  };
}

/** Over all runs of all kernels. */
function total(
  kernels: readonly KernelResult[],
  layers: RecordedLayers,
  of: (kernel: KernelResult) => number,
): number {
  return kernels.reduce((sum, kernel) => {
    const times = kernel.perLayer ? layers[kernel.phase === 'vision' ? 'vision' : 'language'] : 1;
    return sum + times * of(kernel);
  }, 0);
}

/** Undefined unless the other runtime did every product with a packed weight. */
function otherTotal(kernels: readonly KernelResult[], layers: RecordedLayers): number | undefined {
  const packed = kernels.filter(({ isPackedLinear }) => isPackedLinear);
  if (packed.some(({ otherSeconds }) => otherSeconds === undefined)) return undefined;
  return total(packed, layers, ({ otherSeconds }) => otherSeconds!);
}
