import type { Allocator } from '../engine/allocator.ts';
import { MAP_MODE_READ, bufferUsage } from '../engine/constants.ts';

/** A sample takes about this long: browsers round time stamps to a tenth of a millisecond. */
const SAMPLE_SECONDS = 0.004;
const MAX_RUNS = 4096;

export interface TimedRun {
  /** Of one run. */
  seconds(): Promise<number>;
}

/**
 * Measures what `encode` puts into a pass, run after run in one pass. Time stamps of the GPU where the device
 * has them, else the clock, around a submission that is waited for.
 */
export class Stopwatch {
  readonly #device: GPUDevice;
  readonly #stamps:
    { readonly set: GPUQuerySet; readonly resolved: GPUBuffer; readonly read: GPUBuffer } | undefined;

  constructor(allocator: Allocator) {
    const { device } = allocator;
    this.#device = device;
    if (!device.features.has('timestamp-query')) return;
    this.#stamps = {
      set: device.createQuerySet({ type: 'timestamp', count: 2 }),
      resolved: allocator.storage('time stamps', 16, 'activations', bufferUsage.queryResolve),
      read: allocator.readback('time stamps', 16),
    };
  }

  /** What `encode` puts into a pass, to be measured as often as one likes: more runs at once the shorter it takes. */
  timed(encode: (pass: GPUComputePassEncoder) => void): TimedRun {
    let runs = 1;
    return {
      seconds: async () => {
        let taken = await this.sample(encode, runs);
        while (taken < SAMPLE_SECONDS / 2 && runs < MAX_RUNS) {
          // Not by more than sixteen at once: what one run seems to take may be mostly the clock's grain.
          const factor = Math.min(16, Math.max(2, SAMPLE_SECONDS / Math.max(taken, 1e-9)));
          runs = Math.min(MAX_RUNS, Math.ceil(runs * factor));
          taken = await this.sample(encode, runs);
        }
        return taken / runs;
      },
    };
  }

  destroy(): void {
    this.#stamps?.set.destroy();
  }

  private async sample(encode: (pass: GPUComputePassEncoder) => void, runs: number): Promise<number> {
    const stamps = this.#stamps;
    const encoder = this.#device.createCommandEncoder();
    const pass = encoder.beginComputePass(
      stamps && {
        timestampWrites: { querySet: stamps.set, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
      },
    );
    for (let run = 0; run < runs; run++) encode(pass);
    pass.end();
    if (stamps) {
      encoder.resolveQuerySet(stamps.set, 0, 2, stamps.resolved, 0);
      encoder.copyBufferToBuffer(stamps.resolved, 0, stamps.read, 0, 16);
    }
    const begin = performance.now();
    this.#device.queue.submit([encoder.finish()]);
    if (!stamps) {
      await this.#device.queue.onSubmittedWorkDone();
      return (performance.now() - begin) / 1000;
    }
    await stamps.read.mapAsync(MAP_MODE_READ);
    const [from, to] = new BigUint64Array(stamps.read.getMappedRange());
    const nanoseconds = Number(to - from);
    stamps.read.unmap();
    return nanoseconds / 1e9;
  }
}
