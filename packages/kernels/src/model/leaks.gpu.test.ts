import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requestTestDevice } from '../node.ts';
import { instrument } from '../testing/instrumented-device.ts';
import { TINY_CONFIG, randomParameters } from '../testing/tiny-model.ts';
import { floatWeights } from '../weights/float-weights.ts';
import { createWebGPUModel } from './webgpu-model.ts';

const gpu = await requestTestDevice();
const config = {
  ...TINY_CONFIG,
  vision: { ...TINY_CONFIG.vision, hiddenSize: 32, intermediateSize: 32 },
  language: { ...TINY_CONFIG.language, hiddenSize: 32, headDim: 8, intermediateSize: 48, numLayers: 1 },
};
const parameters = randomParameters(config, 3);
const weights = floatWeights(config, (name) => parameters.get(name));
/** Four are one of each kind; `LEAK_CYCLES=100` takes minutes. */
const CYCLES = Number(process.env.LEAK_CYCLES ?? 4);

describe.skipIf(gpu === null)('a model that is created and destroyed', () => {
  let device: ReturnType<typeof instrument>;
  beforeAll(() => {
    device = instrument(gpu!.device);
  });
  afterAll(() => device?.restore());

  it(
    `leaves no buffer, ${CYCLES} times, whatever it was at`,
    async () => {
      const ids = Uint32Array.from({ length: 11 }, (_, i) => (i * 37) % 250);
      for (let cycle = 0; cycle < CYCLES; cycle++) {
        const model = await createWebGPUModel(gpu!.device, config, weights, { maxContext: 40 });
        expect(device.counts.liveBytes).toBeGreaterThan(0);
        if (cycle % 4 > 0) await model.encodeImages(new Float32Array(3 * 56 * 56), 1);
        if (cycle % 4 > 1) await model.prefill(ids, []);
        // Destroyed in the middle of a call, too.
        const running = cycle % 4 > 2 ? model.decode(4).catch(() => {}) : undefined;
        model.destroy();
        await running;
        expect(device.counts.liveBytes, `bytes left by cycle ${cycle}`).toBe(0);
      }
    },
    CYCLES * 75_000,
  );
});
