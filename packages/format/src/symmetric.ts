import { SpeedqError } from './errors.ts';
import { HALF_MAX, HALF_MIN_NORMAL, roundHalfToEven, roundToHalf } from './float16.ts';
import { SYMMETRIC_4BIT, checkScheme, schemeName, symmetricCentre } from './schemes.ts';
import type { SymmetricScheme } from './schemes.ts';

/**
 * Symmetric quantization of the embedding table and the head (docs/format.md). The default is idempotent,
 * quantizing a dequantized table gives it back, because the reference re-quantizes at every stage and loses
 * 6.7 % each time.
 */

export interface SymmetricTensor {
  readonly scheme: SymmetricScheme;
  readonly rows: number;
  readonly columns: number;
  /** [rows, columns], one byte each: 0…14 at 4 bits, else 0…2^bits − 1. */
  readonly codes: Uint8Array;
  /** [rows, columns/groupSize]; fp16 values unless quantized with `reference`. */
  readonly scale: Float32Array;
}

export interface SymmetricOptions {
  /** Named in errors. */
  readonly name?: string;
  /** The reference implementation's scale, at 4 bits. */
  readonly reference?: boolean;
}

/**
 * Shares of the largest weight that become the largest value, below 4 bits: with so few codes it pays to clip.
 * The first that loses least is taken. A table that was quantized before is met exactly by the whole share,
 * which is why this is idempotent.
 */
const SHARES = [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45];

/**
 * Quantizes weight [rows, columns].
 * Throws `shape-mismatch`, or `not-representable` on NaN, infinity or scales beyond fp16.
 */
export function quantizeSymmetric(
  weight: Float32Array,
  rows: number,
  columns: number,
  scheme: SymmetricScheme = SYMMETRIC_4BIT,
  options: SymmetricOptions = {},
): SymmetricTensor {
  const { name = 'weight', reference = false } = options;
  checkScheme(scheme, [rows, columns], name);
  if (weight.length !== rows * columns) {
    throw new SpeedqError(
      'shape-mismatch',
      `${name}: expected ${rows}×${columns} = ${rows * columns} values, got ${weight.length}.`,
    );
  }
  const { bits, groupSize } = scheme;
  if (reference && bits !== 4) {
    throw new SpeedqError(
      'unsupported',
      `${name}: the reference implementation has no ${schemeName(scheme)}. Choose 4bit-symmetric.`,
    );
  }
  const centre = symmetricCentre(scheme);
  const shares = bits === 4 ? [1] : SHARES;
  const codes = new Uint8Array(weight.length);
  const scale = new Float32Array(weight.length / groupSize);
  for (let group = 0; group < scale.length; group++) {
    const start = group * groupSize;
    const end = start + groupSize;
    let absmax = 0;
    let poison = 0; // v − v is NaN for NaN and infinity alone
    for (let i = start; i < end; i++) {
      const magnitude = Math.abs(weight[i]);
      if (magnitude > absmax) absmax = magnitude;
      poison += magnitude - magnitude;
    }
    const s = reference
      ? Math.fround(Math.fround(2 * absmax) / 15)
      : bestScale(weight, start, end, absmax, centre, shares);
    if (poison !== 0 || s > HALF_MAX) {
      throw new SpeedqError(
        'not-representable',
        `${name}: row ${Math.floor(start / columns)} holds ${poison !== 0 ? 'NaN or infinity' : absmax}; ` +
          `${bits}-bit scales reach up to ${centre * HALF_MAX}. Check the checkpoint.`,
      );
    }
    scale[group] = s;
    for (let i = start; i < end; i++) codes[i] = s === 0 ? Math.ceil(centre) : codeOf(weight[i], s, centre);
  }
  return { scheme, rows, columns, codes, scale };
}

function codeOf(weight: number, scale: number, centre: number): number {
  const q = roundHalfToEven(Math.fround(Math.fround(weight / scale) + centre));
  return q < 0 ? 0 : q > 2 * centre ? 2 * centre : q;
}

/** Among the shares of the largest weight, the scale with the least squared error of the group. */
function bestScale(
  weight: Float32Array,
  start: number,
  end: number,
  absmax: number,
  centre: number,
  shares: readonly number[],
): number {
  let best = idempotentScale(absmax, centre);
  if (shares.length === 1 || best === 0) return best;
  let least = Infinity;
  for (const share of shares) {
    const s = share === 1 ? best : idempotentScale(absmax * share, centre);
    if (s === 0) break;
    let error = 0;
    for (let i = start; i < end && error < least; i++) {
      error += (weight[i] - s * (codeOf(weight[i], s, centre) - centre)) ** 2;
    }
    if (error < least) {
      least = error;
      best = s;
    }
  }
  return best;
}

/**
 * absmax/centre in fp16. The largest weight must take the outermost code, or the next pass would find a smaller
 * scale: rounding to nearest ensures it for normal numbers, rounding down for subnormal ones.
 */
function idempotentScale(absmax: number, centre: number): number {
  const s = Math.fround(absmax / centre);
  return s >= HALF_MIN_NORMAL ? roundToHalf(s) : Math.floor(s * 2 ** 24) / 2 ** 24;
}

/** Weights [rows, columns] that the codes stand for: s·(q − centre). */
export function dequantizeSymmetric({
  scheme,
  codes,
  scale,
}: Pick<SymmetricTensor, 'scheme' | 'codes' | 'scale'>): Float32Array {
  const { groupSize } = scheme;
  const centre = symmetricCentre(scheme);
  const values = new Float32Array(codes.length);
  for (let group = 0, i = 0; group < scale.length; group++) {
    const s = scale[group];
    for (const end = i + groupSize; i < end; i++) values[i] = s * (codes[i] - centre);
  }
  return values;
}
