import { requestTestDevice } from '@speedq/kernels/node';
import { describe, it } from 'vitest';
import { openModel } from '../../tools/src/eval/open-model.ts';
import { compareGreedy, expectSameAnswers, packedPico } from './greedy.ts';

/**
 * The kernels on packed weights say what the CPU reference says: the same weights dequantized, in float32 by
 * onnxruntime.
 */
const gpu = await requestTestDevice();

describe.skipIf(gpu === null)('greedy answers of packed pico on WebGPU', { timeout: 900_000 }, () => {
  it.each(['2bit', '4bit'] as const)('%s: token by token the CPU reference’s', async (recipe) => {
    const folder = await packedPico(recipe);
    const kernels = await openModel(folder, 'webgpu', { device: gpu!, maxContext: 256 });
    const reference = await openModel(folder, 'cpu', { threads: 1, maxContext: 256 });
    try {
      expectSameAnswers(await compareGreedy(kernels, reference));
    } finally {
      kernels.engine.destroy();
      reference.engine.destroy();
    }
  });
});
