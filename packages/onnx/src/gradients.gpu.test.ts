import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { gradientCases } from './testing/gradient-cases.ts';
import { buildCase, runCase } from './testing/run-gradient-case.ts';
import { hasWebgpuProvider } from './providers.ts';

/** Where a GPU is required, its absence must fail, not skip. */
const required = process.env.REQUIRE_GPU === '1';

/**
 * The graphs of gradients.test.ts on the WebGPU provider, where an operator it lacks is an error, not a
 * fallback: values and gradients equal those of the CPU, which are checked against float64 there.
 */
describe.skipIf(!required && !(await hasWebgpuProvider(ort)))('on WebGPU', () => {
  it.each(gradientCases({ small: true }))('$name', async (gradientCase) => {
    const built = buildCase(gradientCase);
    const expected = await runCase(ort, built, { threads: 1 });
    const actual = await runCase(ort, built, { executionProvider: 'webgpu' });
    for (const [name, values] of expected) {
      const result = actual.get(name)!;
      let difference = 0;
      let square = 0;
      values.forEach((value, i) => {
        difference += (result[i] - value) ** 2;
        square += value ** 2;
      });
      expect(Math.sqrt(difference / square), name).toBeLessThan(1e-5);
    }
  });
});
