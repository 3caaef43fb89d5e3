import type { Allocator } from './allocator.ts';
import { MAP_MODE_READ } from './constants.ts';

/** The first `count` floats of a buffer, through a buffer made for the occasion. */
export async function readFloats(
  allocator: Allocator,
  source: GPUBuffer,
  count: number,
): Promise<Float32Array> {
  const { device } = allocator;
  const buffer = allocator.readback('readback', count * 4);
  try {
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, 0, buffer, 0, count * 4);
    device.queue.submit([encoder.finish()]);
    await buffer.mapAsync(MAP_MODE_READ);
    return new Float32Array(buffer.getMappedRange().slice(0));
  } finally {
    allocator.free(buffer);
  }
}
