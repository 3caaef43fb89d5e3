import {
  SYMMETRIC_4BIT,
  SpeedqError,
  bfloatToFloat,
  checkScheme,
  floatToBfloat,
  groupRange,
  maxCode,
  packBilevel,
  packSymmetric,
  quantizeSymmetric,
  roundHalfToEven,
  roundToHalf,
  schemeName,
} from '@speedq/format';
import type {
  BilevelScheme,
  BilevelTensor,
  PackedBilevel,
  PackedSymmetric,
  SymmetricScheme,
  SymmetricTensor,
} from '@speedq/format';

/**
 * How the reference implementation's export quantizes a checkpoint (`save_fake_quant.py`): the model is in
 * bfloat16, the two tables in fp16, and every operation of its quantizer is rounded to that. Codes, zero points and
 * scale codes are its own to the bit; flaws included.
 */

const bfloat = (x: number): number => bfloatToFloat(floatToBfloat(x));

const MIN_SCALE = 1e-5;
const MIN_DIVISOR = 1e-9;
const MAX_SCALE_CODE = 15;
/** Half of the largest code that a symmetric table could have, rounded down: (15 − 1) / 2. */
const TABLE_ZERO = 7;
const MAX_TABLE_CODE = 15;
const TABLE_GROUP = SYMMETRIC_4BIT.groupSize;

const clampCode = (x: number, max: number): number => {
  const code = roundHalfToEven(x);
  return code < 0 ? 0 : code > max ? max : code;
};

/**
 * Some rows of a weight, rounded and packed. Throws `unsupported` for a scheme that the reference does not have,
 * `shape-mismatch`, `not-representable`.
 */
export function packAsReferenceExports(
  weight: Float32Array,
  [rows, columns]: readonly [number, number],
  scheme: BilevelScheme | SymmetricScheme,
  name: string,
): PackedBilevel | PackedSymmetric {
  checkScheme(scheme, [rows, columns], name);
  const isTheirs =
    scheme.kind === 'bilevel'
      ? scheme.zero === 'integer'
      : scheme.bits === SYMMETRIC_4BIT.bits && scheme.groupSize === TABLE_GROUP;
  if (!isTheirs) {
    throw new SpeedqError(
      'unsupported',
      `${name}: the reference implementation has no ${schemeName(scheme)}. Choose schemes with integer zero points ` +
        'and 4bit-symmetric tables.',
    );
  }
  return scheme.kind === 'bilevel'
    ? packBilevel(quantizeInBfloat16(weight, rows, columns, scheme, name), name)
    : packSymmetric(quantizeTableInHalf(weight, rows, columns, name), name);
}

/** Weight [rows, columns] in bfloat16 arithmetic. Throws `not-representable` on NaN or infinity. */
function quantizeInBfloat16(
  weight: Float32Array,
  rows: number,
  columns: number,
  scheme: BilevelScheme,
  name: string,
): BilevelTensor {
  const { groupSize, scaleGroupSize } = scheme;
  const groups = columns / groupSize;
  const qmax = maxCode(scheme);
  const w = weight.map(bfloat);
  const { min, max } = groupRange(w, rows, columns, groupSize, name);
  const scale = new Float32Array(rows * groups);
  const zero = new Uint8Array(rows * groups);
  const scaleCode = new Uint8Array(rows * groups);
  const blocks = (rows / scaleGroupSize) * groups;
  const step = new Float32Array(blocks);
  const minimum = new Float32Array(blocks);
  const minScale = bfloat(MIN_SCALE);
  const minDivisor = bfloat(MIN_DIVISOR);
  for (let i = 0; i < scale.length; i++) {
    const [low, high] = min[i] === max[i] ? [-1, 1] : [min[i], max[i]];
    scale[i] = Math.max(bfloat(bfloat(high - low) / qmax), minScale);
    zero[i] = clampCode(bfloat(-low / scale[i]), qmax);
  }
  for (let block = 0; block < blocks; block++) {
    const group = block % groups;
    const first = ((block - group) / groups) * scaleGroupSize;
    const indices = Array.from({ length: scaleGroupSize }, (_, r) => (first + r) * groups + group);
    let smallest = Math.min(...indices.map((i) => scale[i]));
    let largest = Math.max(...indices.map((i) => scale[i]));
    if (smallest === largest) [smallest, largest] = [-1, 1];
    const S = Math.max(bfloat(bfloat(largest - smallest) / MAX_SCALE_CODE), minScale);
    const Z = bfloat(-smallest / S);
    step[block] = S;
    minimum[block] = -S * Z;
    for (const i of indices) {
      const code = clampCode(bfloat(bfloat(scale[i] / Math.max(S, minDivisor)) + Z), MAX_SCALE_CODE);
      scaleCode[i] = code;
      scale[i] = bfloat(S * bfloat(code - Z));
    }
  }
  const codes = new Uint8Array(w.length);
  for (let group = 0, i = 0; group < scale.length; group++) {
    const divisor = Math.max(scale[group], minDivisor);
    for (const end = i + groupSize; i < end; i++) {
      codes[i] = clampCode(bfloat(bfloat(w[i] / divisor) + zero[group]), qmax);
    }
  }
  return { scheme, rows, columns, codes, scale, zero, scaleCode, step, minimum };
}

/**
 * Embedding table or head [rows, columns] in fp16 arithmetic. Unlike the codes of quantizeSymmetric, these may reach
 * 15. Throws `not-representable` on NaN or infinity.
 */
function quantizeTableInHalf(
  weight: Float32Array,
  rows: number,
  columns: number,
  name: string,
): SymmetricTensor {
  const w = weight.map(roundToHalf);
  // Checks shape and values.
  quantizeSymmetric(w, rows, columns, SYMMETRIC_4BIT, { name });
  const codes = new Uint8Array(w.length);
  const scale = new Float32Array(w.length / TABLE_GROUP);
  for (let group = 0; group < scale.length; group++) {
    const start = group * TABLE_GROUP;
    let absmax = 0;
    for (let i = start; i < start + TABLE_GROUP; i++) absmax = Math.max(absmax, Math.abs(w[i]));
    if (absmax === 0) absmax = 1;
    const s = Math.max(roundToHalf(roundToHalf(2 * absmax) / MAX_TABLE_CODE), roundToHalf(MIN_SCALE));
    scale[group] = s;
    for (let i = start; i < start + TABLE_GROUP; i++) {
      codes[i] = clampCode(roundToHalf(roundToHalf(w[i] / s) + TABLE_ZERO), MAX_TABLE_CODE);
    }
  }
  return { scheme: SYMMETRIC_4BIT, rows, columns, codes, scale };
}
