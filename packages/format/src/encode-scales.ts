import { SpeedqError } from './errors.ts';
import { HALF_MAX, roundHalfToEven, roundToHalf } from './float16.ts';
import type { BilevelParameters } from './bilevel.ts';
import { checkScheme, maxCode } from './schemes.ts';
import type { BilevelScheme } from './schemes.ts';

const MIN_SCALE = Math.fround(1e-5);
const MAX_SCALE_CODE = 15;

/**
 * The stored parameters nearest to wanted scales and zero points, [rows, columns/groupSize] each: second-level
 * step and minimum span the scales of a block, scales become their 4-bit codes, zero points are rounded. What
 * was encoded once stays as it is. Learned scales come through here; those of ranges through chooseBilevel.
 * Throws `shape-mismatch`, `not-representable`; `unsupported` for schemes with minima.
 */
export function encodeScales(
  scale: Float32Array,
  zero: Float32Array,
  rows: number,
  columns: number,
  scheme: BilevelScheme,
  name = 'weight',
): BilevelParameters {
  const { fround } = Math;
  checkScheme(scheme, [rows, columns], name);
  const groups = columns / scheme.groupSize;
  if (scale.length !== rows * groups || zero.length !== rows * groups) {
    throw new SpeedqError(
      'shape-mismatch',
      `${name}: expected ${rows * groups} scales and zero points, got ${scale.length} and ${zero.length}.`,
    );
  }
  if (scheme.zero === 'minimum') {
    throw new SpeedqError(
      'unsupported',
      `${name}: scales are learned with integer zero points only. Choose a scheme without minima, or another method.`,
    );
  }
  const qmax = maxCode(scheme);
  const blocks = (rows / scheme.scaleGroupSize) * groups;
  const out = {
    scale: new Float32Array(rows * groups),
    zero: new Uint8Array(rows * groups),
    scaleCode: new Uint8Array(rows * groups),
    step: new Float32Array(blocks),
    minimum: new Float32Array(blocks),
  };
  for (let block = 0; block < blocks; block++) {
    const group = block % groups;
    const first = ((block - group) / groups) * scheme.scaleGroupSize;
    const last = first + scheme.scaleGroupSize;
    let smallest = Infinity;
    let largest = 0;
    for (let row = first; row < last; row++) {
      const s = Math.max(scale[row * groups + group], MIN_SCALE);
      // NaN fails too.
      if (!(s <= HALF_MAX && Number.isFinite(zero[row * groups + group]))) {
        throw new SpeedqError(
          'not-representable',
          `${name}: a scale of ${scale[row * groups + group]} or zero point of ${zero[row * groups + group]} ` +
            `(row ${row}, column group ${group}) cannot be stored. Its training diverged; lower the learning rate.`,
        );
      }
      if (s < smallest) smallest = s;
      if (s > largest) largest = s;
    }
    const step = roundToHalf(fround(fround(largest - smallest) / MAX_SCALE_CODE));
    const minimum = roundToHalf(smallest);
    out.step[block] = step;
    out.minimum[block] = minimum;
    for (let row = first; row < last; row++) {
      const index = row * groups + group;
      const s = Math.max(scale[index], MIN_SCALE);
      const code = step > 0 ? clamp(roundHalfToEven(fround(fround(s - minimum) / step)), MAX_SCALE_CODE) : 0;
      out.scaleCode[index] = code;
      out.scale[index] = fround(step * code + minimum);
      out.zero[index] = clamp(roundHalfToEven(zero[index]), qmax);
    }
  }
  return { scheme, rows, columns, ...out };
}

function clamp(value: number, most: number): number {
  return value < 0 ? 0 : value > most ? most : value;
}
