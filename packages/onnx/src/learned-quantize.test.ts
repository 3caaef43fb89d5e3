import ort from 'onnxruntime-node';
import {
  BILEVEL_2BIT_G128,
  BILEVEL_2BIT_G16,
  BILEVEL_2BIT_G16_MIN,
  BILEVEL_4BIT_G32_QQ16,
  dequantizeBilevel,
  encodeScales,
  quantizeBilevel,
  schemeName,
} from '@speedq/format';
import type { BilevelScheme } from '@speedq/format';
import { expect, test } from 'vitest';
import { differentiate } from './autodiff.ts';
import { Graph } from './graph.ts';
import { learnedQuantize } from './learned-quantize.ts';
import { Session } from './session.ts';
import { randomNormals } from './testing/random.ts';

async function runLearned(
  weight: Float32Array,
  scale: Float32Array,
  zero: Float32Array,
  [rows, columns]: readonly number[],
  scheme: BilevelScheme,
) {
  const g = new Graph();
  const groups = columns / scheme.groupSize;
  const inputs = [
    g.input('w', [rows, columns]),
    g.input('s', [rows, groups]),
    g.input('z', [rows, groups]),
  ] as const;
  const dy = g.input('dy', [rows, columns]);
  const y = learnedQuantize(g, ...inputs, scheme);
  g.output('y', y);
  differentiate(g, [[y, dy]], inputs).forEach((gradient, i) => g.output(`d${i}`, gradient!));
  const session = await Session.create(ort, g.build(), { threads: 1 });
  const upstream = randomNormals(weight.length, 4);
  const results = await session.run(
    new Map([
      ['w', session.float(weight, [rows, columns])],
      ['s', session.float(scale, [rows, groups])],
      ['z', session.float(zero, [rows, groups])],
      ['dy', session.float(upstream, [rows, columns])],
    ]),
  );
  await session.release();
  const data = (name: string) => results.get(name)!.data as Float32Array;
  return { y: data('y'), gradients: [data('d0'), data('d1'), data('d2')] as const, upstream };
}

test.each(
  [BILEVEL_2BIT_G16, BILEVEL_2BIT_G128, BILEVEL_4BIT_G32_QQ16, BILEVEL_2BIT_G16_MIN].map(
    (s) => [schemeName(s), s] as const,
  ),
)('%s: values are those that are stored, gradients those of LSQ', async (_, scheme) => {
  const [rows, columns] = [scheme.scaleGroupSize * 2, scheme.groupSize * 3];
  const groups = columns / scheme.groupSize;
  const qmax = 2 ** scheme.bits - 1;
  const weight = randomNormals(rows * columns, 1).map((v) => v * 0.05);
  const scale = randomNormals(rows * groups, 2).map((v) => (0.06 * (1 + 0.2 * Math.tanh(v)) * 3) / qmax);
  const isMinimum = scheme.zero === 'minimum';
  const zero = randomNormals(rows * groups, 3).map((v, i) => (qmax / 2 + v) * (isMinimum ? scale[i] : 1));
  const found = await runLearned(weight, scale, zero, [rows, columns], scheme);
  const parameters = encodeScales(scale, zero, rows, columns, scheme);
  const codes = quantizeBilevel(weight, parameters);
  expect(found.y.map((v) => v + 0)).toEqual(dequantizeBilevel(codes, parameters).map((v) => v + 0));

  // LSQ+ equations by hand, in float64.
  const [dw, ds, dz] = [
    new Float64Array(weight.length),
    new Float64Array(scale.length),
    new Float64Array(zero.length),
  ];
  let clipped = 0;
  weight.forEach((w, i) => {
    const group = Math.floor(i / scheme.groupSize);
    const [s, up] = [parameters.scale[group], found.upstream[i]];
    // The same equations in terms of z = μ/s, with dŵ/dμ = (dŵ/dz)/s and s·(q − z) = s·q − μ.
    const z = isMinimum ? parameters.offset![group] / s : parameters.zero[group];
    const perOrigin = isMinimum ? -1 : -s;
    const fixed = isMinimum ? 0 : z;
    const v = w / s + z;
    if (v < 0) {
      ds[group] += up * -fixed;
      dz[group] += up * perOrigin;
    } else if (v > qmax) {
      ds[group] += up * (qmax - fixed);
      dz[group] += up * perOrigin;
    } else {
      dw[i] = up;
      ds[group] += up * (Math.round(v) - v);
    }
    if (v < 0 || v > qmax) clipped++;
  });
  expect(clipped).toBeGreaterThan(weight.length / 100);
  for (const [k, expected] of [dw, ds, dz].entries()) {
    expected.forEach((value, i) => expect(found.gradients[k][i]).toBeCloseTo(value, 3));
  }
});

test('moving scales along the gradient lowers the error they are learned for', async () => {
  const scheme = BILEVEL_2BIT_G16;
  const [rows, columns] = [16, 64];
  const weight = randomNormals(rows * columns, 7);
  const scale = new Float32Array(rows * 4).fill(2);
  const zero = new Float32Array(rows * 4).fill(1.5);
  const errorOf = (s: Float32Array): number => {
    const parameters = encodeScales(s, zero, rows, columns, scheme);
    return dequantizeBilevel(quantizeBilevel(weight, parameters), parameters).reduce(
      (sum, value, i) => sum + (value - weight[i]) ** 2,
      0,
    );
  };
  const before = errorOf(scale);
  for (let step = 0; step < 60; step++) {
    const g = new Graph();
    const w = g.input('w', [rows, columns]);
    const s = g.input('s', [rows, 4]);
    const z = g.input('z', [rows, 4]);
    const y = learnedQuantize(g, w, s, z, scheme);
    const dy = g.input('dy', [rows, columns]);
    g.output('y', y);
    g.output('ds', differentiate(g, [[y, dy]], [s])[0]!);
    const session = await Session.create(ort, g.build(), { threads: 1 });
    const parameters = encodeScales(scale, zero, rows, columns, scheme);
    const values = dequantizeBilevel(quantizeBilevel(weight, parameters), parameters);
    const results = await session.run(
      new Map([
        ['w', session.float(weight, [rows, columns])],
        ['s', session.float(scale, [rows, 4])],
        ['z', session.float(zero, [rows, 4])],
        [
          'dy',
          session.float(
            values.map((v, i) => v - weight[i]),
            [rows, columns],
          ),
        ],
      ]),
    );
    await session.release();
    (results.get('ds')!.data as Float32Array).forEach((d, i) => (scale[i] -= 0.01 * d));
  }
  expect(errorOf(scale)).toBeLessThan(0.5 * before);
});
