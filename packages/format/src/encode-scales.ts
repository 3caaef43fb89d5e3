import { SpeedqError } from './errors.ts';
import { HALF_MAX, roundHalfToEven, roundToHalf } from './float16.ts';
import type { BilevelParameters } from './bilevel.ts';
import { checkScheme, maxCode } from './schemes.ts';
import type { BilevelScheme } from './schemes.ts';

const MIN_SCALE = Math.fround(1e-5);
const MAX_SCALE_CODE = 15;

/**
 * The stored parameters nearest to wanted scales and origins, [rows, columns/groupSize] each: zero points, or in a
 * scheme with minima how far below zero codes begin. Scales (and minima) become 4-bit codes over the second
 * level that spans those of a block. Learned scales come through here; those of ranges through chooseBilevel.
 * Throws `shape-mismatch`, `not-representable`.
 */
export function encodeScales(
  scale: Float32Array,
  origin: Float32Array,
  rows: number,
  columns: number,
  scheme: BilevelScheme,
  name = 'weight',
): BilevelParameters {
  checkScheme(scheme, [rows, columns], name);
  const groups = columns / scheme.groupSize;
  if (scale.length !== rows * groups || origin.length !== rows * groups) {
    throw new SpeedqError(
      'shape-mismatch',
      `${name}: expected ${rows * groups} scales and origins, got ${scale.length} and ${origin.length}.`,
    );
  }
  const blocks = (rows / scheme.scaleGroupSize) * groups;
  const encoded: Encoded = {
    scale: new Float32Array(rows * groups),
    zero: new Uint8Array(rows * groups),
    scaleCode: new Uint8Array(rows * groups),
    step: new Float32Array(blocks),
    minimum: new Float32Array(blocks),
    ...(scheme.zero === 'minimum' && { offset: new Float32Array(rows * groups) }),
  };
  const encode = encoded.offset === undefined ? encodeWithZero : encodeWithMinimum;
  for (let block = 0; block < blocks; block++) {
    const group = block % groups;
    const first = ((block - group) / groups) * scheme.scaleGroupSize;
    const indexes = Array.from({ length: scheme.scaleGroupSize }, (_, row) => (first + row) * groups + group);
    for (const index of indexes) {
      // NaN fails too.
      if (scale[index] <= HALF_MAX && Math.abs(origin[index]) <= HALF_MAX) continue;
      throw new SpeedqError(
        'not-representable',
        `${name}: a scale of ${scale[index]} or an origin of ${origin[index]} (row ${Math.floor(index / groups)}, ` +
          `column group ${group}) cannot be stored. Its training diverged; lower the learning rate.`,
      );
    }
    encode(encoded, block, indexes, scale, origin, maxCode(scheme));
  }
  return { scheme, rows, columns, ...encoded };
}

type Encoded = Omit<BilevelParameters, 'scheme' | 'rows' | 'columns' | 'stepZero'>;

function encodeWithZero(
  out: Encoded,
  block: number,
  indexes: readonly number[],
  scale: Float32Array,
  origin: Float32Array,
  qmax: number,
): void {
  const { fround } = Math;
  const wanted = indexes.map((index) => Math.max(scale[index], MIN_SCALE));
  const smallest = Math.min(...wanted);
  const step = roundToHalf(fround(fround(Math.max(...wanted) - smallest) / MAX_SCALE_CODE));
  const minimum = roundToHalf(smallest);
  out.step[block] = step;
  out.minimum[block] = minimum;
  indexes.forEach((index, i) => {
    const code =
      step > 0 ? clamp(roundHalfToEven(fround(fround(wanted[i] - minimum) / step)), 0, MAX_SCALE_CODE) : 0;
    out.scaleCode[index] = code;
    out.scale[index] = fround(step * code + minimum);
    out.zero[index] = clamp(roundHalfToEven(origin[index]), 0, qmax);
  });
}

/** Scales and minima are multiples of a step each; no scale is zero. */
function encodeWithMinimum(
  out: Encoded,
  block: number,
  indexes: readonly number[],
  scale: Float32Array,
  origin: Float32Array,
): void {
  const { fround } = Math;
  const wanted = indexes.map((index) => Math.max(scale[index], MIN_SCALE));
  const depths = indexes.map((index) => Math.max(origin[index], 0));
  const step = roundToHalf(fround(Math.max(...wanted) / MAX_SCALE_CODE));
  const minimum = roundToHalf(fround(Math.max(...depths) / MAX_SCALE_CODE));
  out.step[block] = step;
  out.minimum[block] = minimum;
  indexes.forEach((index, i) => {
    const code = clamp(roundHalfToEven(fround(wanted[i] / step)), 1, MAX_SCALE_CODE);
    const depth = minimum > 0 ? clamp(roundHalfToEven(fround(depths[i] / minimum)), 0, MAX_SCALE_CODE) : 0;
    out.scaleCode[index] = code;
    out.scale[index] = fround(step * code);
    out.zero[index] = depth;
    out.offset![index] = fround(minimum * depth);
  });
}

function clamp(value: number, least: number, most: number): number {
  return value < least ? least : value > most ? most : value;
}
