import { SpeedqError } from './errors.ts';
import { HALF_MAX, HALF_MIN_NORMAL, roundHalfToEven, roundToHalf } from './float16.ts';
import { SYMMETRIC_4BIT, checkScheme } from './schemes.ts';

/**
 * Symmetric 4-bit quantization of the embedding table and the head (docs/format.md). The default is
 * idempotent, quantizing a dequantized table gives it back, because the reference re-quantizes at every stage
 * and loses 6.7 % each time.
 */

const GROUP_SIZE = SYMMETRIC_4BIT.groupSize;
const ZERO = 7;

export interface SymmetricTensor {
  readonly rows: number;
  readonly columns: number;
  /** [rows, columns], 0…14, one byte each. */
  readonly codes: Uint8Array;
  /** [rows, columns/32]; fp16 values unless quantized with `reference`. */
  readonly scale: Float32Array;
}

/**
 * Quantizes weight [rows, columns].
 * Throws `shape-mismatch`, or `not-representable` on NaN, infinity or scales beyond fp16.
 */
export function quantizeSymmetric(
  weight: Float32Array,
  rows: number,
  columns: number,
  options: { readonly name?: string; readonly reference?: boolean } = {},
): SymmetricTensor {
  const { name = 'weight', reference = false } = options;
  checkScheme(SYMMETRIC_4BIT, [rows, columns], name);
  if (weight.length !== rows * columns) {
    throw new SpeedqError(
      'shape-mismatch',
      `${name}: expected ${rows}×${columns} = ${rows * columns} values, got ${weight.length}.`,
    );
  }
  const { fround } = Math;
  const codes = new Uint8Array(weight.length);
  const scale = new Float32Array(weight.length / GROUP_SIZE);
  for (let group = 0; group < scale.length; group++) {
    const start = group * GROUP_SIZE;
    const end = start + GROUP_SIZE;
    let absmax = 0;
    let poison = 0; // v − v is NaN for NaN and infinity alone
    for (let i = start; i < end; i++) {
      const magnitude = Math.abs(weight[i]);
      if (magnitude > absmax) absmax = magnitude;
      poison += magnitude - magnitude;
    }
    const s = reference ? fround(fround(2 * absmax) / 15) : idempotentScale(absmax);
    if (poison !== 0 || s > HALF_MAX) {
      throw new SpeedqError(
        'not-representable',
        `${name}: row ${Math.floor(start / columns)} holds ${poison !== 0 ? 'NaN or infinity' : absmax}; ` +
          `4-bit scales reach up to ${7 * HALF_MAX}. Check the checkpoint.`,
      );
    }
    scale[group] = s;
    for (let i = start; i < end; i++) {
      const q = s === 0 ? ZERO : roundHalfToEven(fround(fround(weight[i] / s) + ZERO));
      codes[i] = q < 0 ? 0 : q > 2 * ZERO ? 2 * ZERO : q;
    }
  }
  return { rows, columns, codes, scale };
}

/**
 * absmax/7 in fp16. The largest weight must code to ±7, or the next pass would find a smaller scale: rounding
 * to nearest ensures it for normal numbers, rounding down for subnormal ones.
 */
function idempotentScale(absmax: number): number {
  const s = Math.fround(absmax / ZERO);
  return s >= HALF_MIN_NORMAL ? roundToHalf(s) : Math.floor(s * 2 ** 24) / 2 ** 24;
}

/** Weights [rows, columns] that the codes stand for: s·(q − 7). */
export function dequantizeSymmetric({
  codes,
  scale,
}: Pick<SymmetricTensor, 'codes' | 'scale'>): Float32Array {
  const values = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) values[i] = scale[Math.floor(i / GROUP_SIZE)] * (codes[i] - ZERO);
  return values;
}
