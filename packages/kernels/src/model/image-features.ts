import { SpeedqError } from '@speedq/format';
import type { Allocator } from '../engine/allocator.ts';
import { readFloats } from '../engine/readback.ts';

/** Projected features of one image's tiles, on the GPU. */
export interface ImageFeatures {
  /** Rows, one per image token of the prompt: tiles · tokensPerTile. */
  readonly tokens: number;
  /** Copies the rows [tokens, hidden] to the CPU: for tests and tools, the chat never needs it. */
  read(): Promise<Float32Array>;
  destroy(): void;
}

/** What encodeImages returns. */
export class GPUImageFeatures implements ImageFeatures {
  readonly tokens: number;
  readonly buffer: GPUBuffer;
  readonly #allocator: Allocator;

  constructor(tokens: number, buffer: GPUBuffer, allocator: Allocator) {
    this.tokens = tokens;
    this.buffer = buffer;
    this.#allocator = allocator;
  }

  read(): Promise<Float32Array> {
    return readFloats(this.#allocator, this.buffer, this.buffer.size / 4);
  }

  destroy(): void {
    this.#allocator.free(this.buffer);
  }
}

/** Hands the feature rows of several images to prefill runs, in order. */
export class FeatureRows {
  readonly #images: readonly GPUImageFeatures[];
  readonly #rowBytes: number;
  #image = 0;
  #row = 0;

  constructor(images: readonly ImageFeatures[], rowBytes: number) {
    this.#images = images.map((image) => {
      if (image instanceof GPUImageFeatures) return image;
      throw new SpeedqError(
        'invalid-argument',
        'prefill takes the image features that encodeImages returned.',
      );
    });
    this.#rowBytes = rowBytes;
  }

  /** @throws SpeedqError 'invalid-argument' unless there are exactly `tokens` rows. */
  expect(tokens: number): void {
    const rows = this.#images.reduce((sum, image) => sum + image.tokens, 0);
    if (rows === tokens) return;
    throw new SpeedqError(
      'invalid-argument',
      `The prompt has ${tokens} image tokens, the images have ${rows} features. Give each image as many ` +
        'placeholders as its tiles have tokens.',
    );
  }

  /** Copies the next `rows` rows to the start of `target`. */
  copy(encoder: GPUCommandEncoder, rows: number, target: GPUBuffer): void {
    for (let done = 0; done < rows;) {
      const { buffer, tokens } = this.#images[this.#image];
      const count = Math.min(rows - done, tokens - this.#row);
      const bytes = this.#rowBytes;
      encoder.copyBufferToBuffer(buffer, this.#row * bytes, target, done * bytes, count * bytes);
      done += count;
      this.#row += count;
      if (this.#row === tokens) {
        this.#image += 1;
        this.#row = 0;
      }
    }
  }
}
