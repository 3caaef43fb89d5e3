import { SpeedqError } from '@speedq/format';

const PAGE = 65_536;
/** Kernels read whole vectors: up to this much past what they were given. */
const SLACK = 4096;

/** The kernels' memory: what stays (weights, cache), and above it work space that is given back in one piece. */
export class Heap {
  readonly memory = new WebAssembly.Memory({ initial: 1 });
  // Address 0 stays unused, so that it can mean "none".
  #top = 64;
  #views: { readonly f32: Float32Array; readonly u32: Uint32Array; readonly u8: Uint8Array } | undefined;

  /** Bytes in use. */
  get used(): number {
    return this.#top;
  }

  /** Views of all memory; get them again after each `allocate`. */
  get f32(): Float32Array {
    return this.views.f32;
  }

  get u32(): Uint32Array {
    return this.views.u32;
  }

  get u8(): Uint8Array {
    return this.views.u8;
  }

  /** Address of `bytes` bytes, a multiple of 64; they are not cleared. @throws {SpeedqError} `out-of-memory`. */
  allocate(bytes: number): number {
    const address = this.#top;
    const top = address + Math.ceil(bytes / 64) * 64;
    const missing = top + SLACK - this.memory.buffer.byteLength;
    if (missing > 0) this.grow(Math.ceil(missing / PAGE), top);
    this.#top = top;
    return address;
  }

  floats(count: number): number {
    return this.allocate(count * 4);
  }

  /** Frees everything that was allocated when `used` was this. */
  release(used: number): void {
    this.#top = used;
  }

  private grow(pages: number, needed: number): void {
    try {
      this.memory.grow(pages);
    } catch (cause) {
      throw new SpeedqError(
        'out-of-memory',
        `The model needs ${Math.ceil(needed / 1e6)} MB of memory, which the browser does not give; without WebGPU ` +
          '4 GB are the limit anywhere. Use a smaller model or contextWindow, or close other pages.',
        { cause },
      );
    }
    this.#views = undefined;
  }

  private get views() {
    const { buffer } = this.memory;
    return (this.#views ??= {
      f32: new Float32Array(buffer),
      u32: new Uint32Array(buffer),
      u8: new Uint8Array(buffer),
    });
  }
}
