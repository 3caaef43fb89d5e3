import { expect, test } from 'vitest';
import { chooseBilevel } from './bilevel.ts';
import type { BilevelParameters } from './bilevel.ts';
import { encodeScales } from './encode-scales.ts';
import { packBilevel, unpackBilevel } from './pack.ts';
import { BILEVEL_2BIT_G16, BILEVEL_2BIT_G16_MIN, BILEVEL_4BIT_G32_QQ16 } from './schemes.ts';
import { gaussian } from './test-weights.ts';

const [rows, columns] = [48, 96];
const originOf = ({ offset, zero }: BilevelParameters) => offset ?? Float32Array.from(zero);

test.each([BILEVEL_2BIT_G16, BILEVEL_4BIT_G32_QQ16, BILEVEL_2BIT_G16_MIN])(
  'parameters that were chosen from ranges stay what they are within fp16',
  (scheme) => {
    const weight = gaussian(rows * columns, 3);
    const chosen = chooseBilevel(weight, rows, columns, scheme);
    const encoded = encodeScales(chosen.scale, originOf(chosen), rows, columns, scheme);
    if (scheme.zero === 'integer') expect(encoded.zero).toEqual(chosen.zero);
    encoded.scale.forEach((scale, i) => expect(scale / chosen.scale[i]).toBeCloseTo(1, 2));
    // And then for good: what is stored is a fixed point.
    const again = encodeScales(encoded.scale, originOf(encoded), rows, columns, scheme);
    const third = encodeScales(again.scale, originOf(again), rows, columns, scheme);
    third.scale.forEach((scale, i) => expect(scale / again.scale[i]).toBeCloseTo(1, 3));
    const unpacked = unpackBilevel(packBilevel({ ...encoded, codes: new Uint8Array(rows * columns) }));
    expect(unpacked.scale).toEqual(encoded.scale);
    expect(unpacked.step).toEqual(encoded.step);
  },
);

test('every scale is at most half a second-level step from the wanted one', () => {
  const groups = columns / 16;
  const scale = gaussian(rows * groups, 5).map((value) => 0.02 + Math.abs(value));
  const encoded = encodeScales(
    scale,
    new Float32Array(scale.length).fill(1),
    rows,
    columns,
    BILEVEL_2BIT_G16,
  );
  scale.forEach((wanted, i) => {
    const block = Math.floor(Math.floor(i / groups) / 16) * groups + (i % groups);
    expect(Math.abs(encoded.scale[i] - wanted)).toBeLessThan(0.51 * encoded.step[block] + wanted * 2 ** -10);
  });
});

test('zero points are rounded into their codes, scales kept positive', () => {
  const count = 16 * 2;
  const zero = new Float32Array(count).map((_, i) => [-3, 0.4, 1.6, 9][i % 4]);
  const encoded = encodeScales(new Float32Array(count).fill(-1), zero, 16, 32, BILEVEL_2BIT_G16);
  expect([...encoded.zero.subarray(0, 4)]).toEqual([0, 0, 2, 3]);
  expect(encoded.scale.every((scale) => scale > 0)).toBe(true);
});

test('what diverged is refused, naming the place', () => {
  const scale = new Float32Array(32).fill(0.1);
  scale[5] = NaN;
  expect(() => encodeScales(scale, new Float32Array(32), 16, 32, BILEVEL_2BIT_G16, 'w')).toThrow(
    expect.objectContaining({ code: 'not-representable', message: expect.stringContaining('row 2') }),
  );
});
