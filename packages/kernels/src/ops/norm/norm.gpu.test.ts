import { describe, expect, it } from 'vitest';
import { requestTestDevice } from '../../node.ts';
import { OpBench, maxDifference, randomFloats } from '../../testing/harness.ts';
import { recordNorm } from './record.ts';
import { normReference } from './reference.ts';

const gpu = await requestTestDevice();

describe.skipIf(gpu === null)('norm', () => {
  it.each([
    ['layer', 1, 64],
    ['layer', 5, 257],
    ['layer', 3, 1000],
    ['rms', 1, 896],
    ['rms', 7, 60],
  ] as const)('%s norm of %i rows of %i equals float64', async (kind, count, width) => {
    const bench = new OpBench(gpu!.device, 8);
    // an offset far from zero shows whether the variance cancels
    const x = randomFloats(count * width, count + width).map((v) => v + 30);
    const weight = randomFloats(width, 2);
    const bias = kind === 'layer' ? randomFloats(width, 3) : undefined;
    const y = recordNorm(bench.recorder, bench.input(x, width), {
      kind,
      epsilon: 1e-6,
      weight: bench.buffer(weight),
      bias: bias && bench.buffer(bias),
    });
    const [actual] = await bench.run([y], { count });
    expect(
      maxDifference(actual, normReference(x, { kind, width, epsilon: 1e-6, weight, bias })),
    ).toBeLessThan(2e-5);
  });

  it('runs zero rows without touching anything', async () => {
    const bench = new OpBench(gpu!.device, 4);
    const weight = bench.buffer(randomFloats(8, 1));
    const y = recordNorm(bench.recorder, bench.input(randomFloats(32, 2), 8), {
      kind: 'rms',
      epsilon: 0,
      weight,
    });
    const [actual] = await bench.run([y], { count: 0 });
    expect([...actual]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });
});
