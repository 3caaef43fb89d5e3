import type { InternVLConfig } from '@speedq/model';
import { imageFeatures, languageBlock, languageEmbed, languageHead } from '@speedq/model';
import type { Allocator } from '../engine/allocator.ts';
import { bufferUsage } from '../engine/constants.ts';
import type { SlotPool } from '../engine/liveness.ts';
import { assignSlots } from '../engine/liveness.ts';
import { PipelineCache } from '../engine/pipelines.ts';
import { Plan } from '../engine/plan.ts';
import { PARAMS_BYTES } from '../engine/program.ts';
import type { Value } from '../engine/recorder.ts';
import { ONE_ROW, Recorder } from '../engine/recorder.ts';
import { recordArgmax } from '../ops/argmax/record.ts';
import type { LayerCache } from '../ops/rope-cache/record.ts';
import { ropeTable } from '../ops/rope-cache/table.ts';
import { recordLastRow } from '../ops/select-row/record.ts';
import type { WeightStore } from '../weights/store.ts';
import { WebGPUOps } from './webgpu-ops.ts';

export interface Capacities {
  readonly maxContext: number;
  readonly prefillChunk: number;
  readonly tilesPerBatch: number;
  readonly allLogits: boolean;
}

/** Tokens that decoding may produce before they are read back. */
export const MAX_DECODE_STEPS = 64;

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
    /** [tilesPerBatch, 3, S, S] */
    readonly pixels: GPUBuffer;
    /** [tilesPerBatch·tokensPerTile, hidden] */
    readonly visionOutput: GPUBuffer;
    /** u32 [prefillChunk] */
    readonly ids: GPUBuffer;
    /** [prefillChunk, hidden] */
    readonly features: GPUBuffer;
    /** [1, vocabulary] of the last position. */
    readonly logits: GPUBuffer;
    /** [prefillChunk, vocabulary], with `allLogits`. */
    readonly allLogits?: GPUBuffer;
    /** u32 [1]: what the next decode step embeds. */
    readonly next: GPUBuffer;
    /** u32 [MAX_DECODE_STEPS] */
    readonly tokens: GPUBuffer;
  };
}

/** Records the three plans over `forward.ts`, places their activations in one pool and prepares them. */
export async function preparePlans(
  allocator: Allocator,
  config: InternVLConfig,
  weights: WeightStore,
  capacities: Capacities,
): Promise<ModelPlans> {
  const { device } = allocator;
  const { vision, language, tokensPerTile, imageTokenId } = config;
  const { maxContext, prefillChunk, tilesPerBatch } = capacities;
  const floats = (label: string, count: number) => allocator.storage(label, count * 4);
  const buffers: ModelPlans['buffers'] = {
    pixels: floats('pixels', tilesPerBatch * 3 * vision.imageSize ** 2),
    visionOutput: floats('image features of a batch', tilesPerBatch * tokensPerTile * language.hiddenSize),
    ids: floats('token ids', prefillChunk),
    features: floats('image features of a chunk', prefillChunk * language.hiddenSize),
    logits: floats('logits', language.vocabSize),
    allLogits: capacities.allLogits ? floats('all logits', prefillChunk * language.vocabSize) : undefined,
    next: floats('next token', 1),
    tokens: floats('decoded tokens', MAX_DECODE_STEPS),
  };
  const caches = createCaches(allocator, config, maxContext);
  const recorderOf = (maxCount: number) =>
    new Recorder(maxCount, allocator.storage('parameters', PARAMS_BYTES, bufferUsage.uniform));
  const opsOf = (recorder: Recorder, allRows: boolean) =>
    new WebGPUOps({ recorder, weights, caches, tileSize: vision.imageSize, allRows });

  const visionRecorder = recorderOf(tilesPerBatch);
  const pixels: Value = {
    label: 'pixels',
    rows: { perCount: 1, fixed: 0 },
    width: 3 * vision.imageSize ** 2,
    buffer: buffers.pixels,
  };
  visionRecorder.keep(imageFeatures(opsOf(visionRecorder, false), config, pixels), buffers.visionOutput);

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
    recorder.keep(logits, buffers.logits);
    recordArgmax(recorder, logits, buffers);
    return head;
  };
  const prefillRecorder = recorderOf(prefillChunk);
  const perToken = { perCount: 1, fixed: 0 };
  const prefillHead = recordLanguage(
    prefillRecorder,
    { label: 'token ids', rows: perToken, width: 1, buffer: buffers.ids },
    {
      label: `features at ${imageTokenId}`,
      rows: perToken,
      width: language.hiddenSize,
      buffer: buffers.features,
    },
    buffers.allLogits,
  );
  const decodeRecorder = recorderOf(1);
  const decodeHead = recordLanguage(
    decodeRecorder,
    { label: 'token id', rows: ONE_ROW, width: 1, buffer: buffers.next },
    undefined,
  );

  const pool: SlotPool = { sizes: [] };
  const recorders = [visionRecorder, prefillRecorder, decodeRecorder];
  const placed = recorders.map((recorder) => assignSlots(recorder, pool));
  const slots = pool.sizes.map((bytes, slot) => allocator.storage(`activations ${slot}`, bytes));
  const pipelines = new PipelineCache(device);
  const [visionPlan, prefillPlan, decodePlan] = await Promise.all(
    recorders.map((recorder, index) =>
      Plan.prepare(device, pipelines, recorder, (value) => slots[placed[index].get(value)!]),
    ),
  );
  return {
    vision: visionPlan,
    prefill: { plan: prefillPlan, head: prefillHead },
    decode: { plan: decodePlan, head: decodeHead },
    buffers,
  };
}

function createCaches(allocator: Allocator, { language }: InternVLConfig, maxContext: number): LayerCache[] {
  const { numLayers, numKeyValueHeads, headDim, ropeTheta } = language;
  const bytes = maxContext * numKeyValueHeads * headDim * 4;
  const table = ropeTable(maxContext, headDim, ropeTheta);
  const rotations = allocator.storage('rotations', table.byteLength);
  allocator.device.queue.writeBuffer(rotations, 0, table);
  return Array.from({ length: numLayers }, (_, layer) => ({
    keys: allocator.storage(`keys ${layer}`, bytes),
    values: allocator.storage(`values ${layer}`, bytes),
    ropeTable: rotations,
  }));
}
