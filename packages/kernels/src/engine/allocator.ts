import { SpeedqError } from '@speedq/format';
import { bufferUsage } from './constants.ts';

/** Creates and counts the buffers of one model, and destroys them together. */
export class Allocator {
  readonly device: GPUDevice;
  readonly #buffers = new Set<GPUBuffer>();

  constructor(device: GPUDevice) {
    this.device = device;
  }

  /** Bytes of all living buffers. */
  get bytes(): number {
    let total = 0;
    for (const buffer of this.#buffers) total += buffer.size;
    return total;
  }

  /** A buffer usable as storage and copy source and destination; `extraUsage` adds to that. */
  storage(label: string, bytes: number, extraUsage = 0): GPUBuffer {
    const { maxStorageBufferBindingSize, maxBufferSize } = this.device.limits;
    const limit = Math.min(maxStorageBufferBindingSize, maxBufferSize);
    const size = Math.max(16, Math.ceil(bytes / 4) * 4);
    if (size > limit) {
      throw new SpeedqError(
        'out-of-memory',
        `${label} needs a GPU buffer of ${size} bytes, this device allows ${limit}. ` +
          'Use a shorter context, a smaller prefill chunk or fewer tiles per batch, or request a device with higher limits.',
      );
    }
    return this.create(
      label,
      size,
      bufferUsage.storage | bufferUsage.copySource | bufferUsage.copyDestination | extraUsage,
    );
  }

  /** A buffer for reading back to the CPU. */
  readback(label: string, bytes: number): GPUBuffer {
    return this.create(label, bytes, bufferUsage.mapRead | bufferUsage.copyDestination);
  }

  free(buffer: GPUBuffer): void {
    if (this.#buffers.delete(buffer)) buffer.destroy();
  }

  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
    this.#buffers.clear();
  }

  private create(label: string, size: number, usage: number): GPUBuffer {
    const buffer = this.device.createBuffer({ label, size, usage });
    this.#buffers.add(buffer);
    return buffer;
  }
}

/** Uploads whole words; a length that is no multiple of 4 is padded with zeros. */
export function upload(device: GPUDevice, buffer: GPUBuffer, bytes: Uint8Array): void {
  if (bytes.byteLength % 4 === 0) {
    device.queue.writeBuffer(buffer, 0, bytes as Uint8Array<ArrayBuffer>);
    return;
  }
  const padded = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
  padded.set(bytes);
  device.queue.writeBuffer(buffer, 0, padded);
}
