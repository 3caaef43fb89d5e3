import type { ImageFeaturesHandle } from '@speedq/runtime';
import { WasmModel } from '@speedq/wasm';
import type { HostImageFeatures } from '@speedq/wasm';
import type { ModelFolder } from '../model-folder.ts';
import { contextOf } from './engine.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { forwardRows } from './forward-rows.ts';
import { storedWeights } from './stored-weights.ts';

/** What browsers without WebGPU run: packed weights as they are stored, one thread. */
export async function openWasmEngine(folder: ModelFolder, options: EngineOptions = {}): Promise<Engine> {
  const { config } = folder;
  const maxContext = contextOf(config.language.maxPositionEmbeddings, options);
  const model = await WasmModel.create(config, await storedWeights(folder), { maxContext });
  return new WasmEngine(model, config.language.vocabSize);
}

class WasmEngine implements Engine {
  readonly kind = 'wasm';
  readonly description = 'WebAssembly SIMD, one thread';
  readonly isSoftware = false;
  readonly vocabSize: number;
  private readonly model: WasmModel;

  constructor(model: WasmModel, vocabSize: number) {
    this.model = model;
    this.vocabSize = vocabSize;
  }

  get length(): number {
    return this.model.length;
  }

  get maxContext(): number {
    return this.model.maxContext;
  }

  get memoryBytes(): number {
    return this.model.memoryBytes;
  }

  encodeImages(pixels: Float32Array, tiles: number, signal?: AbortSignal): Promise<HostImageFeatures> {
    return this.model.encodeImages(pixels, tiles, signal);
  }

  prefill(ids: Uint32Array, images: readonly ImageFeaturesHandle[], signal?: AbortSignal): Promise<number> {
    return this.model.prefill(ids, images as readonly HostImageFeatures[], signal);
  }

  decode(count: number, signal?: AbortSignal): Promise<Uint32Array> {
    return this.model.decode(count, signal);
  }

  readLogits(): Promise<Float32Array> {
    return this.model.readLogits();
  }

  forward(ids: Uint32Array, images: readonly ImageFeaturesHandle[], rows: number): Promise<Float32Array> {
    return forwardRows(this, ids, images, rows);
  }

  truncate(length: number): void {
    this.model.truncate(length);
  }

  destroy(): void {
    this.model.destroy();
  }
}
