import { describe, expect, it } from 'vitest';
import { requestTestDevice } from '../node.ts';
import { selfTest } from './self-test.ts';

const gpu = await requestTestDevice();

describe.skipIf(gpu === null)('the self-test', () => {
  it('passes on a device that computes rightly', async () => {
    await selfTest(gpu!.device);
  });

  it('fails on one that does not', async () => {
    // Dispatches are lost, as with drivers that drop them in silence: the results stay zero.
    const { device } = gpu!;
    const lossy = new Proxy(device, {
      get(target, key) {
        const value = Reflect.get(target, key, target) as unknown;
        if (key === 'createCommandEncoder') {
          return () => {
            const encoder = target.createCommandEncoder();
            const begin = encoder.beginComputePass.bind(encoder);
            encoder.beginComputePass = () => Object.assign(begin(), { dispatchWorkgroups: () => undefined });
            return encoder;
          };
        }
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    await expect(selfTest(lossy)).rejects.toMatchObject({ code: 'no-webgpu' });
  });
});
