import { expect, it } from 'vitest';
import { openModel } from '../../tools/src/eval/open-model.ts';
import { compareGreedy, expectSameAnswers, packedPico } from './greedy.ts';

/** The engine for browsers without WebGPU, on packed weights, beside the CPU reference. */
it.each(['2bit', '4bit'] as const)(
  'greedy answers of packed pico on WebAssembly, %s: token by token the CPU reference’s',
  { timeout: 600_000 },
  async (recipe) => {
    const folder = await packedPico(recipe);
    const kernels = await openModel(folder, 'wasm', { maxContext: 256 });
    const reference = await openModel(folder, 'cpu', { threads: 1, maxContext: 256 });
    expect(kernels.engine.kind).toBe('wasm');
    try {
      expectSameAnswers(await compareGreedy(kernels, reference));
    } finally {
      kernels.engine.destroy();
      reference.engine.destroy();
    }
  },
);
