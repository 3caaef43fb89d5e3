import { SpeedqError } from '@speedq/format';

/**
 * Runs `create` with error scopes open, so that WGSL, validation and memory errors become exceptions.
 * For creation only: scopes cost a round trip to the GPU process.
 * @throws SpeedqError 'out-of-memory' or 'internal'.
 */
export async function withErrorScopes<T>(
  device: GPUDevice,
  what: string,
  create: () => T | Promise<T>,
): Promise<T> {
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  device.pushErrorScope('internal');
  const scopes = async () => ({
    internal: await device.popErrorScope(),
    memory: await device.popErrorScope(),
    validation: await device.popErrorScope(),
  });
  let result: T;
  try {
    result = await create();
  } catch (error) {
    await scopes();
    throw error;
  }
  const { internal, memory, validation } = await scopes();
  if (memory !== null) {
    throw new SpeedqError(
      'out-of-memory',
      `The GPU has no memory left for ${what} (${memory.message}). Use a smaller model or context, or close other pages.`,
    );
  }
  const error = validation ?? internal;
  if (error !== null) throw new SpeedqError('internal', `The GPU refused ${what}: ${error.message}`);
  return result;
}

const LOSS_MILLISECONDS = 2000;

/** Remembers that the device was lost, so that calls afterwards say so instead of hanging or reading zeros. */
export class DeviceWatch {
  #lost: GPUDeviceLostInfo | undefined;
  readonly #device: GPUDevice;
  /** Rejects when the device is lost. */
  readonly lost: Promise<never>;

  constructor(device: GPUDevice) {
    this.#device = device;
    this.lost = device.lost.then((info) => {
      this.#lost = info;
      this.check();
      throw new Error('unreachable');
    });
    this.lost.catch(() => {});
  }

  /**
   * Waits for a loss that may be behind a failure: browsers report it after what it causes, a mapping that is
   * aborted for one. Errors of our own, and a caller's abort, are known to have another cause.
   */
  async settle(failure: unknown): Promise<void> {
    const isForeign = globalThis.DOMException !== undefined && failure instanceof DOMException;
    const moment = new Promise((resolve) => setTimeout(resolve, isForeign ? LOSS_MILLISECONDS : 0));
    await Promise.race([this.#device.lost, moment]);
  }

  /** @throws SpeedqError 'device-lost' */
  check(cause?: unknown): void {
    if (this.#lost === undefined) return;
    throw new SpeedqError(
      'device-lost',
      `The GPU device was lost (${this.#lost.reason || 'unknown'}: ${this.#lost.message || 'no message'}). ` +
        'Load the model again on a new device.',
      { cause },
    );
  }
}
