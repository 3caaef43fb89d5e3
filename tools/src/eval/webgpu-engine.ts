import { createWebGPUModel } from '@speedq/kernels';
import type { ImageFeatures, WebGPUModel } from '@speedq/kernels';
import { requestNodeDevice } from '@speedq/kernels/node';
import type { NodeDevice } from '@speedq/kernels/node';
import type { ImageFeaturesHandle } from '@speedq/runtime';
import type { ModelFolder } from '../model-folder.ts';
import { contextOf } from './engine.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { forwardRows } from './forward-rows.ts';
import { storedWeights } from './stored-weights.ts';

/**
 * The kernels that the web page runs, through Dawn: packed weights as they are stored, float ones as float32.
 * @throws {SpeedqError} `no-webgpu`, and what the model's loading throws.
 */
export async function openWebGPUEngine(folder: ModelFolder, options: EngineOptions = {}): Promise<Engine> {
  const { config } = folder;
  const node = options.device ?? (await requestNodeDevice({ limits: 'adapter' }));
  const maxContext = contextOf(config.language.maxPositionEmbeddings, options);
  const model = await createWebGPUModel(node.device, config, await storedWeights(folder), { maxContext });
  return new WebGPUEngine(model, node, config.language.vocabSize, options.device === undefined);
}

class WebGPUEngine implements Engine {
  readonly kind = 'webgpu';
  readonly description: string;
  readonly isSoftware: boolean;
  readonly vocabSize: number;
  private readonly model: WebGPUModel;
  private readonly node: NodeDevice;
  private readonly ownsDevice: boolean;

  constructor(model: WebGPUModel, node: NodeDevice, vocabSize: number, ownsDevice: boolean) {
    this.model = model;
    this.node = node;
    this.vocabSize = vocabSize;
    this.ownsDevice = ownsDevice;
    const { description, architecture, vendor } = node.info;
    this.description = description || `${vendor} ${architecture}`.trim() || 'unnamed adapter';
    this.isSoftware = node.isSoftware;
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

  encodeImages(pixels: Float32Array, tiles: number, signal?: AbortSignal): Promise<ImageFeatures> {
    return this.model.encodeImages(pixels, tiles, signal);
  }

  prefill(ids: Uint32Array, images: readonly ImageFeaturesHandle[], signal?: AbortSignal): Promise<number> {
    return this.model.prefill(ids, images as readonly ImageFeatures[], signal);
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
    if (this.ownsDevice) this.node.device.destroy();
  }
}
