import { SpeedqError } from '@speedq/format';
import { OnnxModel } from '@speedq/onnx';
import type { SequenceBatch } from '@speedq/onnx';
import type { ImageFeaturesHandle } from '@speedq/runtime';
import * as ort from 'onnxruntime-node';
import type { ModelFolder } from '../model-folder.ts';
import { argmax, contextOf } from './engine.ts';
import type { BatchAddition, Engine, EngineBatch, EngineOptions } from './engine.ts';

/** Rows of the language model's width, on the heap. */
class HostFeatures implements ImageFeaturesHandle {
  readonly rows: Float32Array;

  constructor(rows: Float32Array) {
    this.rows = rows;
  }

  destroy(): void {
    // Left to the garbage collector.
  }
}

/** The CPU reference: weights as float32 (dequantized where the folder is packed) through onnxruntime. */
export async function openCpuEngine(
  { config, tensors }: Pick<ModelFolder, 'config' | 'tensors'>,
  options: EngineOptions = {},
): Promise<Engine> {
  const parameters = new Map<string, Float32Array>();
  for (const { name } of tensors.parameters) parameters.set(name, await tensors.read(name));
  const model = await OnnxModel.create(ort, config, parameters, { threads: options.threads });
  const bytes = [...parameters.values()].reduce((sum, values) => sum + values.byteLength, 0);
  return new CpuEngine(model, contextOf(config.language.maxPositionEmbeddings, options), bytes);
}

class CpuEngine implements Engine {
  readonly kind = 'cpu';
  readonly description = 'onnxruntime, float32';
  readonly isSoftware = false;
  readonly maxContext: number;
  private readonly model: OnnxModel;
  private readonly weightBytes: number;
  /** Logits after the last token of the cache. */
  private logits: Float32Array | undefined;

  constructor(model: OnnxModel, maxContext: number, weightBytes: number) {
    this.model = model;
    this.maxContext = maxContext;
    this.weightBytes = weightBytes;
  }

  get length(): number {
    return this.model.length;
  }

  get vocabSize(): number {
    return this.model.config.language.vocabSize;
  }

  get memoryBytes(): number {
    const { numLayers, numKeyValueHeads, headDim } = this.model.config.language;
    return this.weightBytes + this.length * numLayers * 2 * numKeyValueHeads * headDim * 4;
  }

  async encodeImages(pixels: Float32Array, tiles: number): Promise<HostFeatures> {
    return new HostFeatures(await this.model.encodeImages(pixels, tiles));
  }

  async forward(
    ids: Uint32Array,
    images: readonly ImageFeaturesHandle[],
    rows: number,
  ): Promise<Float32Array> {
    this.logits = undefined;
    const logits = await this.model.forward(ids, { features: featuresOf(images), logits: rows });
    this.logits = logits.subarray((rows - 1) * this.vocabSize);
    return logits;
  }

  async prefill(
    ids: Uint32Array,
    images: readonly ImageFeaturesHandle[],
    signal?: AbortSignal,
  ): Promise<number> {
    signal?.throwIfAborted();
    return argmax(await this.forward(ids, images, 1));
  }

  async decode(count: number, signal?: AbortSignal): Promise<Uint32Array> {
    const tokens = new Uint32Array(count);
    let token = argmax(this.currentLogits());
    for (let i = 0; i < count; i++) {
      signal?.throwIfAborted();
      token = argmax(await this.forward(Uint32Array.of(token), [], 1));
      tokens[i] = token;
    }
    return tokens;
  }

  async readLogits(): Promise<Float32Array> {
    return Promise.resolve(this.currentLogits());
  }

  openBatch(size: number): EngineBatch {
    return new CpuBatch(this.model.openBatch(size));
  }

  truncate(length: number): void {
    if (length >= this.length) return;
    this.model.truncate(length);
    this.logits = undefined;
  }

  destroy(): void {
    void this.model.release();
  }

  private currentLogits(): Float32Array {
    if (this.logits !== undefined) return this.logits;
    throw new SpeedqError(
      'invalid-argument',
      'There are no logits since the cache was truncated: prefill first.',
    );
  }
}

class CpuBatch implements EngineBatch {
  private readonly sequences: SequenceBatch;

  constructor(sequences: SequenceBatch) {
    this.sequences = sequences;
  }

  get size(): number {
    return this.sequences.size;
  }

  append(additions: readonly BatchAddition[]): Promise<Float32Array[]> {
    return this.sequences.append(
      additions.map(({ ids, images, rows }) => ({ ids, features: featuresOf(images), logits: rows })),
    );
  }

  truncate(sequence: number, length: number): void {
    this.sequences.truncate(sequence, length);
  }

  select(sequences: readonly number[]): void {
    this.sequences.select(sequences);
  }
}

/** The rows of all pictures, one after the other. */
function featuresOf(images: readonly ImageFeaturesHandle[]): Float32Array | undefined {
  const parts = images as readonly HostFeatures[];
  if (parts.length < 2) return parts[0]?.rows;
  const all = new Float32Array(parts.reduce((sum, { rows }) => sum + rows.length, 0));
  let at = 0;
  for (const { rows } of parts) {
    all.set(rows, at);
    at += rows.length;
  }
  return all;
}
