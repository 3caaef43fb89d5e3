import { SpeedqError } from '@speedq/format';
import { selfTest } from '@speedq/kernels';
import { hasWebAssembly } from './capability.ts';
import { deviceLost } from './engine.ts';
import type { AdapterDescription, EngineChoice } from './protocol.ts';

/** What a model will run on. */
export interface Compute {
  readonly device: GPUDevice | 'wasm';
  readonly adapter: AdapterDescription;
}

/**
 * A GPU device that has passed its self-test, else WebAssembly. `choice` leaves no other.
 *
 * @param request throws `no-webgpu` where there is no device
 * @throws {SpeedqError} `no-webgpu`; `unsupported` where 'wasm' was chosen and is not there.
 */
export async function chooseCompute(
  choice: EngineChoice | undefined,
  request: () => Promise<{ readonly device: GPUDevice; readonly adapter: AdapterDescription }>,
): Promise<Compute> {
  if (choice === 'wasm') return webAssembly();
  try {
    const { device, adapter } = await request();
    await Promise.race([selfTest(device), deviceLost(device)]);
    return { device, adapter };
  } catch (error) {
    if (choice === 'webgpu' || !hasWebAssembly()) throw error;
    return webAssembly();
  }
}

function webAssembly(): Compute {
  if (!hasWebAssembly()) {
    throw new SpeedqError(
      'unsupported',
      'This browser has no WebAssembly with SIMD. Use a current Chrome, Edge, Safari or Firefox.',
    );
  }
  return {
    device: 'wasm',
    adapter: { engine: 'wasm', name: 'WebAssembly, one thread', isSoftware: false },
  };
}
