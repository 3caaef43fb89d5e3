import { SpeedqError } from '@speedq/format';
import { bufferUsage } from './constants.ts';

/** What a buffer is for, in the memory budget. `activations` has everything that is none of the others. */
export type MemoryKind = 'weights' | 'kvCache' | 'images' | 'activations';

/** Creates and counts the buffers of one model, and destroys them together. */
export class Allocator {
  readonly device: GPUDevice;
  readonly #buffers = new Map<GPUBuffer, MemoryKind>();

  constructor(device: GPUDevice) {
    this.device = device;
  }

  /** Bytes of all living buffers, or of those of one kind. */
  bytesOf(kind?: MemoryKind): number {
    let total = 0;
    for (const [buffer, of] of this.#buffers) if (kind === undefined || kind === of) total += buffer.size;
    return total;
  }

  /** Largest buffer that can be bound as storage. */
  get limit(): number {
    const { maxStorageBufferBindingSize, maxBufferSize } = this.device.limits;
    return Math.min(maxStorageBufferBindingSize, maxBufferSize);
  }

  /** A buffer usable as storage and copy source and destination; `extraUsage` adds to that. */
  storage(label: string, bytes: number, kind: MemoryKind = 'activations', extraUsage = 0): GPUBuffer {
    this.checkSize(label, bytes);
    return this.create(
      label,
      Math.max(16, Math.ceil(bytes / 4) * 4),
      bufferUsage.storage | bufferUsage.copySource | bufferUsage.copyDestination | extraUsage,
      kind,
    );
  }

  /** @throws SpeedqError 'out-of-memory' for more bytes than one binding may have. */
  checkSize(label: string, bytes: number): void {
    if (bytes > this.limit) {
      throw new SpeedqError(
        'out-of-memory',
        `${label} needs a GPU buffer of ${bytes} bytes, this device allows ${this.limit}. ` +
          'Use a shorter context, a smaller prefill chunk or fewer tiles per batch, or request a device with higher limits.',
      );
    }
  }

  /** A buffer for reading back to the CPU. */
  readback(label: string, bytes: number): GPUBuffer {
    return this.create(label, bytes, bufferUsage.mapRead | bufferUsage.copyDestination, 'activations');
  }

  free(buffer: GPUBuffer): void {
    if (this.#buffers.delete(buffer)) buffer.destroy();
  }

  destroy(): void {
    for (const buffer of this.#buffers.keys()) buffer.destroy();
    this.#buffers.clear();
  }

  private create(label: string, size: number, usage: number, kind: MemoryKind): GPUBuffer {
    const buffer = this.device.createBuffer({ label, size, usage });
    this.#buffers.set(buffer, kind);
    return buffer;
  }
}

/** Uploads whole words from `offset` (a multiple of 4) on; a length that is no multiple of 4 is padded with zeros. */
export function upload(device: GPUDevice, buffer: GPUBuffer, bytes: Uint8Array, offset = 0): void {
  if (bytes.byteLength % 4 === 0) {
    device.queue.writeBuffer(buffer, offset, bytes as Uint8Array<ArrayBuffer>);
    return;
  }
  const padded = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
  padded.set(bytes);
  device.queue.writeBuffer(buffer, offset, padded);
}
