import type { EngineModel, ImageFeaturesHandle } from '@speedq/runtime';
import type { Engine } from './engine.ts';

export interface RuntimeEngineFacts extends Pick<
  Engine,
  'kind' | 'description' | 'isSoftware' | 'vocabSize'
> {
  /** Lets go of what the model was made on. */
  readonly release?: () => void;
}

/** An engine of what runs in browsers; F is how it holds the features of a picture. */
export class RuntimeEngine<F extends ImageFeaturesHandle> implements Engine {
  readonly kind: Engine['kind'];
  readonly description: string;
  readonly isSoftware: boolean;
  readonly vocabSize: number;
  private readonly model: EngineModel<F>;
  private readonly release: () => void;

  constructor(
    model: EngineModel<F>,
    { kind, description, isSoftware, vocabSize, release = () => {} }: RuntimeEngineFacts,
  ) {
    this.model = model;
    this.kind = kind;
    this.description = description;
    this.isSoftware = isSoftware;
    this.vocabSize = vocabSize;
    this.release = release;
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

  encodeImages(pixels: Float32Array, tiles: number, signal?: AbortSignal): Promise<F> {
    return this.model.encodeImages(pixels, tiles, signal);
  }

  prefill(ids: Uint32Array, images: readonly ImageFeaturesHandle[], signal?: AbortSignal): Promise<number> {
    return this.model.prefill(ids, images as readonly F[], signal);
  }

  decode(count: number, signal?: AbortSignal): Promise<Uint32Array> {
    return this.model.decode(count, signal);
  }

  readLogits(): Promise<Float32Array> {
    return this.model.readLogits();
  }

  /** The model keeps one row of logits: those after the first cost a step each. */
  async forward(
    ids: Uint32Array,
    images: readonly ImageFeaturesHandle[],
    rows: number,
  ): Promise<Float32Array> {
    const { vocabSize } = this;
    const logits = new Float32Array(rows * vocabSize);
    const first = ids.length - rows + 1;
    await this.prefill(ids.subarray(0, first), images);
    logits.set(await this.readLogits());
    for (let row = 1; row < rows; row++) {
      await this.prefill(ids.subarray(first + row - 1, first + row), []);
      logits.set(await this.readLogits(), row * vocabSize);
    }
    return logits;
  }

  truncate(length: number): void {
    this.model.truncate(length);
  }

  destroy(): void {
    this.model.destroy();
    this.release();
  }
}
