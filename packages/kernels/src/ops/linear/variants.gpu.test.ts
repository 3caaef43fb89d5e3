import {
  BILEVEL_2BIT_G16,
  BILEVEL_2BIT_G16_MIN,
  BILEVEL_3BIT_G16,
  BILEVEL_4BIT_G32_QQ16,
  FLOAT16,
  FLOAT32,
  SYMMETRIC_4BIT,
  packWeight,
  unpackToFloat,
} from '@speedq/format';
import type { Scheme } from '@speedq/format';
import { describe, expect, it } from 'vitest';
import { offers } from '../../engine/capabilities.ts';
import { ONE_ROW } from '../../engine/recorder.ts';
import { requestTestDevice } from '../../node.ts';
import { OpBench, maxDifference, randomFloats } from '../../testing/harness.ts';
import { compileErrors } from '../../testing/validating-device.ts';
import { normReference } from '../norm/reference.ts';
import { MATMUL_VARIANTS } from './matmul-variants.ts';
import { MATVEC_VARIANTS } from './matvec-variants.ts';
import { recordGated, recordHead, recordLinear } from './record.ts';
import { linearReference } from './reference.ts';

/** Every variant of the linears on shapes that fill no tile, team or workgroup. */
const gpu = await requestTestDevice({ features: 'optional' });
const EPSILON = 1e-6;

const CASES: [scheme: Scheme, rows: number, columns: number][] = [
  [BILEVEL_2BIT_G16, 48, 80],
  [BILEVEL_2BIT_G16_MIN, 16, 1152],
  [BILEVEL_3BIT_G16, 32, 48],
  [{ ...BILEVEL_4BIT_G32_QQ16, groupSize: 16 }, 16, 48],
  [SYMMETRIC_4BIT, 37, 96],
  [FLOAT16, 19, 588],
];

function largest(values: ArrayLike<number>): number {
  return Array.from(values).reduce((most, v) => Math.max(most, Math.abs(v)), 0);
}

/** Largest difference over the largest value that is right. */
function error(actual: Float32Array, expected: ArrayLike<number>): number {
  return maxDifference(actual, expected) / largest(expected);
}

describe.skipIf(gpu === null)('variants of the matrix-vector product', () => {
  const names = Object.keys(MATVEC_VARIANTS);
  it.for(names)('%s equals float64 within its tolerance', async (name, { skip }) => {
    const { needs, tolerance } = MATVEC_VARIANTS[name];
    if (!offers(gpu!.device, gpu!.languageFeatures, needs)) skip(`the adapter lacks ${needs.join(', ')}`);
    const bench = new OpBench(gpu!.device, 1, { matvec: name });
    const cases = CASES.map(([scheme, rows, columns], seed) => {
      const packed = packWeight(randomFloats(rows * columns, seed), [rows, columns], scheme);
      const weight = unpackToFloat(packed);
      const x = randomFloats(columns, seed + 50).map((v) => 3 + v);
      const normWeight = randomFloats(columns, seed + 90);
      const bias = randomFloats(rows, seed + 70);
      const input = bench.input(x, columns, ONE_ROW);
      const matrix = bench.matrix(packed);
      const norm = { epsilon: EPSILON, weight: bench.buffer(normWeight) };
      const normed = Float32Array.from(
        normReference(x, { kind: 'rms', width: columns, epsilon: EPSILON, weight: normWeight }),
      );
      const head = recordHead(bench.recorder, input, matrix, { norm });
      const half = (weight.length / 2) | 0;
      const gates =
        rows % 8 === 0
          ? Float32Array.from(linearReference(normed, weight.subarray(0, half), columns))
          : undefined;
      return [
        {
          value: recordLinear(bench.recorder, input, matrix, { bias: bench.buffer(bias) }),
          expected: linearReference(x, weight, columns, { bias }),
        },
        { value: head.logits, expected: linearReference(normed, weight, columns), head },
        ...(gates
          ? [
              {
                value: recordGated(bench.recorder, input, matrix, { norm }),
                expected: linearReference(normed, weight.subarray(half), columns, { gate: gates }),
              },
            ]
          : []),
      ];
    });
    const all = cases.flat();
    const outputs = all.flatMap((one) =>
      'head' in one ? [one.value, one.head!.candidates.values, one.head!.candidates.indices] : [one.value],
    );
    const results = await bench.run(outputs, { count: 1 });
    for (const one of all) {
      const actual = results.shift()!;
      expect(error(actual, one.expected), one.value.label).toBeLessThan(tolerance);
      if (!('head' in one)) continue;
      const [values, indices] = [results.shift()!, results.shift()!];
      const best = values.indexOf(Math.max(...values));
      expect(new Uint32Array(indices.buffer)[best]).toBe(actual.indexOf(Math.max(...actual)));
    }
  });

  it('reaches rows beyond the workgroups of one dimension', async () => {
    const name = 'rows4-threads64';
    const rows = 4 * 65_540;
    const columns = 16;
    const data = new Float32Array(rows * columns);
    for (let row = 0; row < rows; row++) data[row * columns] = (row % 997) / 997;
    const bench = new OpBench(gpu!.device, 1, { matvec: name });
    const x = new Float32Array(columns);
    x[0] = 1;
    const y = recordLinear(
      bench.recorder,
      bench.input(x, columns, ONE_ROW),
      bench.matrix(packWeight(data, [rows, columns], FLOAT32)),
    );
    const [actual] = await bench.run([y], { count: 1 });
    expect(actual.every((value, row) => value === data[row * columns])).toBe(true);
  });
});

describe.skipIf(gpu === null)('variants of the matrix product', () => {
  it.for(Object.keys(MATMUL_VARIANTS))('%s equals float64 within its tolerance', async (name, { skip }) => {
    const { needs, tolerance } = MATMUL_VARIANTS[name];
    if (!offers(gpu!.device, gpu!.languageFeatures, needs)) skip(`the adapter lacks ${needs.join(', ')}`);
    const count = 35;
    const bench = new OpBench(gpu!.device, 64, { matmul: name });
    const cases = CASES.map(([scheme, rows, columns], seed) => {
      const packed = packWeight(randomFloats(rows * columns, seed), [rows, columns], scheme);
      const x = randomFloats(count * columns, seed + 50);
      const bias = randomFloats(rows, seed + 70);
      return {
        value: recordLinear(bench.recorder, bench.input(x, columns), bench.matrix(packed), {
          bias: bench.buffer(bias),
          activation: 'gelu',
        }),
        expected: linearReference(x, unpackToFloat(packed), columns, { bias, activation: 'gelu' }),
      };
    });
    const results = await bench.run(
      cases.map(({ value }) => value),
      { count },
    );
    for (const [i, { expected }] of cases.entries()) {
      expect(error(results[i], expected), JSON.stringify(CASES[i])).toBeLessThan(tolerance);
    }
  });
});

describe.skipIf(gpu === null)('all variants of the linears', () => {
  it('are valid WGSL, those too that the adapter at hand does not run', async () => {
    const programs = [
      ...Object.keys(MATVEC_VARIANTS).map((matvec) => ({ matvec })),
      ...Object.keys(MATMUL_VARIANTS).map((matmul) => ({ matmul })),
    ].flatMap((choice) => {
      const count = 'matvec' in choice ? 1 : 8;
      const bench = new OpBench(gpu!.device, count, choice);
      for (const [scheme, rows, columns] of CASES) {
        const packed = packWeight(randomFloats(rows * columns, 1), [rows, columns], scheme);
        recordLinear(
          bench.recorder,
          bench.input(randomFloats(columns * count, 2), columns),
          bench.matrix(packed),
        );
      }
      bench.allocator.destroy();
      return bench.recorder.dispatches.map(({ program }) => ({ ...program, label: JSON.stringify(choice) }));
    });
    expect(await compileErrors(programs)).toEqual([]);
  });

  it('an unknown one is refused', () => {
    const bench = new OpBench(gpu!.device, 1, { matvec: 'fastest' });
    const matrix = bench.matrix(packWeight(randomFloats(16, 1), [4, 4], FLOAT32));
    const input = bench.input(randomFloats(4, 2), 4, ONE_ROW);
    expect(() => recordLinear(bench.recorder, input, matrix)).toThrow(/matvec has no variant "fastest"/);
  });
});
