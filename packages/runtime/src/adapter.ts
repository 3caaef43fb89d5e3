import { SpeedqError } from '@speedq/format';
import { optionalFeatures } from '@speedq/kernels';
import type { AdapterDescription } from './protocol.ts';

/** @throws {SpeedqError} `no-webgpu`, with what a person can do about it. */
export async function requestAdapter(): Promise<GPUAdapter> {
  if (!('gpu' in navigator)) {
    throw new SpeedqError(
      'no-webgpu',
      'This browser has no WebGPU here. Use a current Chrome, Edge, Safari or Firefox, and open the page ' +
        'over https or from localhost.',
    );
  }
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) {
    throw new SpeedqError(
      'no-webgpu',
      'This browser has WebGPU but found no graphics adapter to run it on. Turn on hardware acceleration in ' +
        "the browser's settings, or update the graphics driver.",
    );
  }
  return adapter;
}

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|software|basic render/i;

export function describeAdapter({ info }: GPUAdapter): AdapterDescription {
  const { vendor, architecture, device, description, isFallbackAdapter } = info;
  // Browsers leave out what could identify a machine: often only vendor and architecture are given.
  const name = description || [vendor, architecture, device].filter(Boolean).join(' ') || 'unnamed adapter';
  return {
    engine: 'webgpu',
    name,
    isSoftware: isFallbackAdapter || SOFTWARE.test(`${vendor} ${architecture} ${device} ${description}`),
  };
}

/** A device with default limits, which are all that the engine needs, and the features that can make it faster. */
export async function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  try {
    return await adapter.requestDevice({ label: 'speedq', requiredFeatures: optionalFeatures(adapter) });
  } catch (cause) {
    throw new SpeedqError(
      'no-webgpu',
      `The graphics adapter ${describeAdapter(adapter).name} gave no device. Reload the page, or update the driver.`,
      { cause },
    );
  }
}

/** Pauses, in milliseconds, before asking again: a graphics process that crashed takes a moment to be there again. */
const PAUSES = [0, 250, 500, 1000, 2000, 4000];

/**
 * A device in the place of one that was lost, on whichever adapter there is now.
 * @throws {SpeedqError} `device-lost` when there is none for some seconds.
 */
export async function newDevice(): Promise<GPUDevice> {
  let cause: unknown;
  for (const pause of PAUSES) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    try {
      return await requestDevice(await requestAdapter());
    } catch (error) {
      cause = error;
    }
  }
  throw new SpeedqError(
    'device-lost',
    'The graphics device was lost, and the browser gives no other one at present. Ask again in a while, or reload ' +
      'the page.',
    { cause },
  );
}
