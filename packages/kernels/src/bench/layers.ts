import { BILEVEL_2BIT_G16, BILEVEL_4BIT_G32, FLOAT16, SYMMETRIC_4BIT } from '@speedq/format';
import type { Scheme } from '@speedq/format';
import {
  languageBlock,
  languageEmbed,
  languageHead,
  projector,
  visionBlock,
  visionEmbed,
} from '@speedq/model';
import type { InternVLConfig, ParameterSpec } from '@speedq/model';
import type { Allocator } from '../engine/allocator.ts';
import { bufferUsage } from '../engine/constants.ts';
import { PARAMS_BYTES } from '../engine/program.ts';
import type { Dispatch, Run, Value, Work } from '../engine/recorder.ts';
import { ONE_ROW, Recorder, isValue, valueBytes } from '../engine/recorder.ts';
import type { VariantChoice } from '../engine/variants.ts';
import type { KeyValueCache } from '../model/kv-cache.ts';
import { WebGPUOps } from '../model/webgpu-ops.ts';
import { recordArgmax, recordCandidates } from '../ops/argmax/record.ts';
import type { WeightStore } from '../weights/store.ts';

/** A decoded token, a chunk of the prompt, a tile of a picture. */
export type Phase = 'decode' | 'prefill' | 'vision';

/** Layers of a model that are built; the others are like them. */
export interface RecordedLayers {
  readonly vision: number;
  readonly language: number;
}

/** A dispatch, and those at the same place in the other layers that were recorded. */
export interface Kernel {
  readonly label: string;
  readonly what: string;
  readonly perLayer: boolean;
  /** Indices into the recorder's dispatches. */
  readonly dispatches: readonly number[];
  readonly linear?: Work['linear'];
  of(run: Run): { readonly bytes: number; readonly operations: number };
}

/** The schemes of the recipes of this name: linears at so many bits, tables at four, the projector in halves. */
export function schemesOf(bits: 2 | 4): (parameter: ParameterSpec) => Scheme {
  return ({ part, role }) => {
    if (part === 'embedding' || part === 'head') return SYMMETRIC_4BIT;
    if (role !== 'linear' || part === 'projector') return FLOAT16;
    return bits === 2 ? BILEVEL_2BIT_G16 : BILEVEL_4BIT_G32;
  };
}

/** A configuration with as many layers as are recorded. */
export function withLayers(config: InternVLConfig, { vision, language }: RecordedLayers): InternVLConfig {
  return {
    ...config,
    vision: { ...config.vision, numLayers: Math.min(vision, config.vision.numLayers) },
    language: { ...config.language, numLayers: Math.min(language, config.language.numLayers) },
  };
}

export interface PhaseOptions {
  readonly allocator: Allocator;
  readonly config: InternVLConfig;
  readonly weights: WeightStore;
  readonly cache: KeyValueCache;
  readonly maxCount: number;
  readonly variants?: VariantChoice;
}

/** A phase as the model's plan runs it, in sections: what comes before the layers, a layer, what comes after. */
export function recordPhase(
  phase: Phase,
  { allocator, config, weights, cache, maxCount, variants }: PhaseOptions,
): { readonly recorder: Recorder; readonly kernels: Kernel[] } {
  const params = allocator.storage('parameters', PARAMS_BYTES, 'activations', bufferUsage.uniform);
  const recorder = new Recorder(phase === 'decode' ? 1 : maxCount, params, variants);
  const { vision, language } = config;
  const ops = new WebGPUOps({
    ...{ recorder, weights, caches: cache.layers, tileSize: vision.imageSize, allRows: false },
  });
  const perCount = { perCount: 1, fixed: 0 };
  const kernels: Kernel[] = [];
  const section = (layers: number | undefined, record: (layer: number) => void): void => {
    const first = recorder.dispatches.length;
    const times = layers ?? 1;
    for (let layer = 0; layer < times; layer++) record(layer);
    const length = (recorder.dispatches.length - first) / times;
    for (let i = 0; i < length; i++) {
      const indices = Array.from({ length: times }, (_, layer) => first + layer * length + i);
      kernels.push(kernelOf(recorder.dispatches[indices[0]], layers !== undefined, indices));
    }
  };
  let x: Value;
  if (phase === 'vision') {
    const pixels = recorder.input('pixels', perCount, 3 * vision.imageSize ** 2);
    section(undefined, () => (x = visionEmbed(ops, config, pixels)));
    section(vision.numLayers, (layer) => (x = visionBlock(ops, config, layer, x)));
    section(undefined, () => recorder.output(projector(ops, config, x)));
    return { recorder, kernels };
  }
  const single = phase === 'decode';
  const ids = recorder.input('token ids', single ? ONE_ROW : perCount, 1);
  const features = single ? undefined : recorder.input('features', perCount, language.hiddenSize);
  section(undefined, () => (x = languageEmbed(ops, config, ids, features)));
  section(language.numLayers, (layer) => (x = languageBlock(ops, config, layer, x)));
  section(undefined, () => {
    const logits = languageHead(ops, config, x);
    recorder.keep(logits, allocator.storage('logits', language.vocabSize * 4));
    recordArgmax(recorder, ops.candidates ?? recordCandidates(recorder, logits), {
      next: allocator.storage('next token', 4),
      tokens: allocator.storage('decoded tokens', 256),
    });
  });
  return { recorder, kernels };
}

function kernelOf(dispatch: Dispatch, perLayer: boolean, dispatches: readonly number[]): Kernel {
  const { program, resources, work } = dispatch;
  const outputs = resources.filter(
    (resource, i): resource is Value => program.bindings[i] === 'write' && isValue(resource),
  );
  const everything = ({ count }: Run) => ({
    bytes: resources.reduce((sum, one) => {
      if (isValue(one)) return sum + valueBytes(one, count);
      return sum + ('buffer' in one ? one.buffer : one).size;
    }, 0),
    operations: 0,
  });
  return {
    label: program.label,
    what: work?.what ?? outputs[0]?.label ?? program.label,
    ...{ perLayer, dispatches, linear: work?.linear },
    of: (run) => (work === undefined ? everything(run) : work.of(run)),
  };
}
