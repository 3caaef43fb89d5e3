import type { InternVLConfig } from '@speedq/model';
import { SpeedqError } from '@speedq/format';
import type { Graph, Tensor } from '../graph.ts';
import type { LanguageContext, OnnxOpsOptions } from '../onnx-ops.ts';
import { MASKED, rotaryTable } from '../rotary.ts';
import type { Feed, OrtModule } from '../session.ts';
import type { LanguageInputs, MicroBatch } from './options.ts';

/** Tokens of a tile inside the vision encoder, class token included. */
export function tileTokens({ vision }: InternVLConfig): number {
  return (vision.imageSize / vision.patchSize) ** 2 + 1;
}

/** The inputs of attention and of the placing of picture features. Those a graph does not read are pruned. */
export function languageContext(
  g: Graph,
  config: InternVLConfig,
  { batch, length, tiles }: MicroBatch,
): LanguageContext {
  const half = config.language.headDim / 2;
  return {
    batch,
    length,
    cos: g.input('cos', [batch, length, 1, half]),
    sin: g.input('sin', [batch, length, 1, half]),
    mask: g.input('mask', [batch, 1, length, length]),
    imageIndex: tiles > 0 ? g.input('image_index', [batch * length], 'int32') : undefined,
    imageMask: tiles > 0 ? g.input('image_mask', [batch * length, 1]) : undefined,
  };
}

export function visionContext(config: InternVLConfig, { tiles }: MicroBatch): OnnxOpsOptions['vision'] {
  return tiles > 0 ? { tiles, tokens: tileTokens(config) } : undefined;
}

/** The vision encoder's output, from which the projector starts. */
export function visionFeaturesInput(g: Graph, config: InternVLConfig, { tiles }: MicroBatch): Tensor {
  return g.input('vision_features', [tiles * tileTokens(config), config.vision.hiddenSize]);
}

/** Feeds of a micro-batch, sizes checked. */
export function languageFeeds(
  ort: OrtModule,
  config: InternVLConfig,
  { batch, length, tiles }: MicroBatch,
  inputs: LanguageInputs,
): Map<string, Feed> {
  const { headDim, ropeTheta } = config.language;
  const rows = batch * length;
  const float = (name: string, data: Float32Array | undefined, dims: readonly number[]) =>
    new ort.Tensor('float32', sized(name, data, dims), dims);
  const int = (name: string, data: BigInt64Array | undefined, dims: readonly number[]) =>
    new ort.Tensor('int32', Int32Array.from(sized(name, data, dims), Number), dims);
  sized('positions', inputs.positions, [rows]);
  const { cos, sin } = rotaryTable(inputs.positions, headDim, ropeTheta);
  const rotary = [batch, length, 1, headDim / 2];
  const feeds = new Map<string, Feed>([
    ['input_ids', int('inputIds', inputs.inputIds, [rows])],
    ['cos', float('cos', cos, rotary)],
    ['sin', float('sin', sin, rotary)],
    ['mask', float('mask', inputs.mask, [batch, 1, length, length])],
  ]);
  if (tiles > 0) {
    const features = [tiles * tileTokens(config), config.vision.hiddenSize];
    feeds.set('vision_features', float('visionFeatures', inputs.visionFeatures, features));
    feeds.set('image_index', int('imageIndex', inputs.imageIndex, [rows]));
    feeds.set('image_mask', float('imageMask', inputs.imageMask, [rows, 1]));
  }
  return feeds;
}

/** `data` if it has the elements of `dims`. */
export function sized<T extends ArrayLike<unknown>>(
  name: string,
  data: T | undefined,
  dims: readonly number[],
): T {
  const expected = dims.reduce((product, dim) => product * dim, 1);
  if (data?.length === expected) return data;
  throw new SpeedqError(
    'shape-mismatch',
    `Training input ${name}: expected [${dims.join(', ')}] = ${expected} values, got ${data?.length ?? 'none'}. ` +
      'Give arrays of the sizes the step was created with, padded.',
  );
}

/**
 * Causal mask of packed sequences, [batch, 1, length, length]. A token sees itself and, before it, the
 * tokens of its own segment and of segment 0 (what all share, such as the picture). Negative segments are
 * padding: it sees itself alone, so that its unused values stay finite. `segments` is [batch · length].
 */
export function attentionMask(segments: ArrayLike<number>, batch: number, length: number): Float32Array {
  const mask = new Float32Array(batch * length * length).fill(MASKED);
  for (let row = 0; row < batch * length; row++) {
    const first = row - (row % length);
    const segment = segments[row];
    for (let other = first; other < row; other++) {
      const seen = segments[other];
      if (segment >= 0 && (seen === segment || seen === 0)) mask[row * length + other - first] = 0;
    }
    mask[row * length + row - first] = 0;
  }
  return mask;
}
