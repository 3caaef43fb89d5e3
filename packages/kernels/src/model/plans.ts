import type { InternVLConfig } from '@speedq/model';
import { imageFeatures, languageBlock, languageEmbed, languageHead } from '@speedq/model';
import type { Allocator } from '../engine/allocator.ts';
import { bufferUsage } from '../engine/constants.ts';
import { assignSlots } from '../engine/liveness.ts';
import { PipelineCache } from '../engine/pipelines.ts';
import { Plan } from '../engine/plan.ts';
import { PARAMS_BYTES } from '../engine/program.ts';
import type { Value } from '../engine/recorder.ts';
import { ONE_ROW, Recorder } from '../engine/recorder.ts';
import type { VariantChoice } from '../engine/variants.ts';
import { recordArgmax, recordCandidates } from '../ops/argmax/record.ts';
import type { KeyValueFormat } from '../ops/kv-cache/format.ts';
import { recordLastRow } from '../ops/select-row/record.ts';
import type { WeightStore } from '../weights/store.ts';
import { KeyValueCache } from './kv-cache.ts';
import { WebGPUOps } from './webgpu-ops.ts';

export interface Capacities {
  readonly maxContext: number;
  readonly prefillChunk: number;
  readonly tilesPerBatch: number;
  readonly allLogits: boolean;
  readonly keyValueFormat: KeyValueFormat;
  readonly variants: VariantChoice;
}

/** Tokens that decoding may produce before they are read back. */
export const MAX_DECODE_STEPS = 64;

/** Where two bursts of decoded tokens are read. */
export function tokenReadbacks(allocator: Allocator): GPUBuffer[] {
  return [0, 1].map((i) => allocator.readback(`decoded tokens ${i}`, MAX_DECODE_STEPS * 4));
}

/** A plan whose steps from `head` on compute logits and choose a token. */
export interface LanguagePlan {
  readonly plan: Plan;
  readonly head: number;
}

export interface ModelPlans {
  readonly vision: Plan;
  readonly prefill: LanguagePlan;
  readonly decode: LanguagePlan;
  readonly buffers: {
    /** [tilesPerBatch, 3, S, S]; like all up to `features`, shared with activations of the runs. */
    readonly pixels: GPUBuffer;
    /** [tilesPerBatch·tokensPerTile, hidden] */
    readonly visionOutput: GPUBuffer;
    /** [prefillChunk, hidden] */
    readonly features: GPUBuffer;
    /** u32 [prefillChunk] */
    readonly ids: GPUBuffer;
    /** [1, vocabulary] of the last position. */
    readonly logits: GPUBuffer;
    /** [prefillChunk, vocabulary], with `allLogits`. */
    readonly allLogits?: GPUBuffer;
    /** u32 [1]: what the next decode step embeds. */
    readonly next: GPUBuffer;
    /** u32 [MAX_DECODE_STEPS] */
    readonly tokens: GPUBuffer;
  };
  readonly cache: KeyValueCache;
}

/** The three plans over `forward.ts`, with all their buffers, before anything is compiled. */
export interface ModelRecording {
  readonly vision: Recorder;
  readonly prefill: RecordedLanguage;
  readonly decode: RecordedLanguage;
  readonly buffers: ModelPlans['buffers'];
  readonly cache: KeyValueCache;
  readonly bufferOf: (value: Value) => GPUBuffer;
}

interface RecordedLanguage {
  readonly recorder: Recorder;
  /** Index of the first step that computes logits. */
  readonly head: number;
}

/** Records the plans and places their activations in one pool. */
export function recordPlans(
  allocator: Allocator,
  config: InternVLConfig,
  weights: WeightStore,
  capacities: Capacities,
): ModelRecording {
  const { vision, language, imageTokenId } = config;
  const { maxContext, prefillChunk, tilesPerBatch, keyValueFormat, variants } = capacities;
  const floats = (label: string, count: number) => allocator.storage(label, count * 4);
  const fixed = {
    ids: floats('token ids', prefillChunk),
    logits: floats('logits', language.vocabSize),
    allLogits: capacities.allLogits ? floats('all logits', prefillChunk * language.vocabSize) : undefined,
    next: floats('next token', 1),
    tokens: floats('decoded tokens', MAX_DECODE_STEPS),
  };
  const cache = new KeyValueCache(allocator, config, { maxContext, format: keyValueFormat });
  const recorderOf = (maxCount: number) =>
    new Recorder(
      maxCount,
      allocator.storage('parameters', PARAMS_BYTES, 'activations', bufferUsage.uniform),
      variants,
    );
  const opsOf = (recorder: Recorder, allRows: boolean) =>
    new WebGPUOps({ recorder, weights, caches: cache.layers, tileSize: vision.imageSize, allRows });

  const visionRecorder = recorderOf(tilesPerBatch);
  const perCount = { perCount: 1, fixed: 0 };
  const pixels = visionRecorder.input('pixels', perCount, 3 * vision.imageSize ** 2);
  const visionOutput = imageFeatures(opsOf(visionRecorder, false), config, pixels);
  visionRecorder.output(visionOutput);

  const recordLanguage = (
    recorder: Recorder,
    ids: Value,
    features: Value | undefined,
    all?: GPUBuffer,
  ): number => {
    const ops = opsOf(recorder, all !== undefined);
    let x = languageEmbed(ops, config, ids, features);
    for (let layer = 0; layer < language.numLayers; layer++) x = languageBlock(ops, config, layer, x);
    const head = recorder.dispatches.length;
    let logits = languageHead(ops, config, x);
    if (all !== undefined) {
      recorder.keep(logits, all);
      logits = recordLastRow(recorder, logits);
    }
    recorder.keep(logits, fixed.logits);
    recordArgmax(recorder, ops.candidates ?? recordCandidates(recorder, logits), fixed);
    return head;
  };
  const prefillRecorder = recorderOf(prefillChunk);
  const features = prefillRecorder.input(`features at ${imageTokenId}`, perCount, language.hiddenSize);
  const prefillHead = recordLanguage(
    prefillRecorder,
    { label: 'token ids', rows: perCount, width: 1, buffer: fixed.ids },
    features,
    fixed.allLogits,
  );
  const decodeRecorder = recorderOf(1);
  const decodeHead = recordLanguage(
    decodeRecorder,
    { label: 'token id', rows: ONE_ROW, width: 1, buffer: fixed.next },
    undefined,
  );

  const { sizes, slots } = assignSlots([visionRecorder, prefillRecorder, decodeRecorder]);
  const activations = sizes.map((bytes, slot) => allocator.storage(`activations ${slot}`, bytes));
  const bufferOf = (value: Value): GPUBuffer => activations[slots.get(value)!];
  return {
    vision: visionRecorder,
    prefill: { recorder: prefillRecorder, head: prefillHead },
    decode: { recorder: decodeRecorder, head: decodeHead },
    buffers: {
      ...fixed,
      pixels: bufferOf(pixels),
      visionOutput: bufferOf(visionOutput),
      features: bufferOf(features),
    },
    cache,
    bufferOf,
  };
}

/** Compiles what was recorded. */
export async function preparePlans(
  device: GPUDevice,
  { vision, prefill, decode, buffers, cache, bufferOf }: ModelRecording,
): Promise<ModelPlans> {
  const pipelines = new PipelineCache(device);
  const [visionPlan, prefillPlan, decodePlan] = await Promise.all(
    [vision, prefill.recorder, decode.recorder].map((recorder) =>
      Plan.prepare(device, pipelines, recorder, bufferOf),
    ),
  );
  return {
    vision: visionPlan,
    prefill: { plan: prefillPlan, head: prefill.head },
    decode: { plan: decodePlan, head: decode.head },
    buffers,
    cache,
  };
}
