import { SpeedqError } from './errors.ts';
import { chooseFromRange, chooseMinimum, chooseReference, notRepresentable } from './choose-scales.ts';
import type { ChosenScales } from './choose-scales.ts';
import { checkScheme, maxCode, schemeName } from './schemes.ts';
import type { BilevelScheme } from './schemes.ts';

/**
 * The bilevel quantizer (docs/format.md, "How codes are chosen"; SPEED-Q, arXiv 2511.08914). Every operation
 * is rounded to float32 in the order written there, so that training graphs and kernels reproduce it to the bit.
 */

/** Guards the division by a decoded scale, which under the reference's arithmetic may be negative. */
const MIN_DIVISOR = Math.fround(1e-9);
/** See roundHalfToEven: inlined here because a call per weight doubles the time. */
const ROUND = 6755399441055744;

/** Bounds per group, [rows, columns/groupSize] each: weights are clamped into them before quantization. */
export interface GroupRange {
  readonly min: Float32Array;
  readonly max: Float32Array;
}

export interface BilevelOptions {
  /** Named in errors. */
  readonly name?: string;
  /** The reference implementation's float32 arithmetic, flaws included; what it yields is not what is stored. */
  readonly reference?: boolean;
  /** Searched bounds (searchClipRange) instead of each group's own. */
  readonly range?: GroupRange;
}

/** What a bilevel weight shares per group and per block. */
export interface BilevelParameters extends ChosenScales {
  readonly scheme: BilevelScheme;
  readonly rows: number;
  readonly columns: number;
}

/** A quantized weight: codes [rows, columns], one byte each, and what they share. */
export interface BilevelTensor extends BilevelParameters {
  readonly codes: Uint8Array;
}

/**
 * Scales and zero points for weight [rows, columns].
 * Throws `shape-mismatch` (shape and scheme), `not-representable` (NaN, infinity, or beyond fp16).
 */
export function chooseBilevel(
  weight: Float32Array,
  rows: number,
  columns: number,
  scheme: BilevelScheme,
  options: BilevelOptions = {},
): BilevelParameters {
  const { name = 'weight', reference = false, range } = options;
  checkScheme(scheme, [rows, columns], name);
  if (weight.length !== rows * columns) {
    throw new SpeedqError(
      'shape-mismatch',
      `${name}: expected ${rows}×${columns} = ${rows * columns} values, got ${weight.length}.`,
    );
  }
  const groups = columns / scheme.groupSize;
  const own = groupRange(weight, rows, columns, scheme.groupSize, name);
  const { min, max } = range ?? own;
  if (min.length !== rows * groups || max.length !== rows * groups) {
    throw new SpeedqError(
      'shape-mismatch',
      `${name}: expected ${rows * groups} group bounds, got ${min.length} and ${max.length}.`,
    );
  }
  if (reference && scheme.zero === 'minimum') {
    throw new SpeedqError(
      'unsupported',
      `${name}: the reference implementation has no ${schemeName(scheme)}. Choose a scheme with integer zero points.`,
    );
  }
  const choose = reference ? chooseReference : scheme.zero === 'minimum' ? chooseMinimum : chooseFromRange;
  const chosen = choose(min, max, rows, groups, scheme, name);
  return { scheme, rows, columns, ...chosen };
}

/** Smallest and largest weight of each group. Throws `not-representable` on NaN or infinity. */
export function groupRange(
  weight: Float32Array,
  rows: number,
  columns: number,
  groupSize: number,
  name = 'weight',
): GroupRange {
  const count = (rows * columns) / groupSize;
  const min = new Float32Array(count);
  const max = new Float32Array(count);
  for (let group = 0, i = 0; group < count; group++) {
    let low = Infinity;
    let high = -Infinity;
    let poison = 0; // v − v is NaN for NaN and infinity alone
    for (const end = i + groupSize; i < end; i++) {
      const v = weight[i];
      if (v < low) low = v;
      if (v > high) high = v;
      poison += v - v;
    }
    if (poison !== 0) throw notRepresentable(name, 'a weight is NaN or infinite', group, columns / groupSize);
    min[group] = low;
    max[group] = high;
  }
  return { min, max };
}

/**
 * Where zero lies among the codes, [rows, columns/groupSize]: the zero points, or μ'/s', with which
 * s'·(q − zero) is the weight but for rounding.
 */
export function zeroPoints({ zero, offset, scale }: ChosenScales): Float32Array {
  return offset ? offset.map((begin, group) => begin / scale[group]) : Float32Array.from(zero);
}

/** Codes [rows, columns] of weight under fixed parameters. */
export function quantizeBilevel(weight: Float32Array, parameters: BilevelParameters): Uint8Array {
  const { scheme, scale, zero, offset } = parameters;
  const { groupSize } = scheme;
  const { fround } = Math;
  const qmax = maxCode(scheme);
  const codes = new Uint8Array(weight.length);
  for (let group = 0, i = 0; group < scale.length; group++) {
    const s = Math.max(scale[group], MIN_DIVISOR);
    const z = offset ? 0 : zero[group];
    const begin = offset ? offset[group] : 0;
    for (const end = i + groupSize; i < end; i++) {
      const q = fround(fround(fround(weight[i] + begin) / s) + z) + ROUND - ROUND;
      codes[i] = q < 0 ? 0 : q > qmax ? qmax : q;
    }
  }
  return codes;
}

/** Weights [rows, columns] that the codes stand for: s'·(q − z), or s'·q − μ'. */
export function dequantizeBilevel(codes: Uint8Array, parameters: BilevelParameters): Float32Array {
  const { scheme, scale, zero, offset } = parameters;
  const { groupSize } = scheme;
  const values = new Float32Array(codes.length);
  for (let group = 0, i = 0; group < scale.length; group++) {
    const s = scale[group];
    const z = offset ? 0 : zero[group];
    const begin = offset ? offset[group] : 0;
    // With minima s·q is exact: 11 + 4 + 4 bits.
    for (const end = i + groupSize; i < end; i++) values[i] = s * (codes[i] - z) - begin;
  }
  return values;
}

/** Chooses parameters and quantizes; weights outside `options.range` end at its bounds. */
export function quantizeBilevelTensor(
  weight: Float32Array,
  rows: number,
  columns: number,
  scheme: BilevelScheme,
  options: BilevelOptions = {},
): BilevelTensor {
  const parameters = chooseBilevel(weight, rows, columns, scheme, options);
  const clamped = options.range ? clampToRange(weight, options.range, scheme.groupSize) : weight;
  return { ...parameters, codes: quantizeBilevel(clamped, parameters) };
}

/** What training sees: weight quantized and dequantized again, and the parameters that did it. */
export function fakeQuantizeBilevel(
  weight: Float32Array,
  rows: number,
  columns: number,
  scheme: BilevelScheme,
  options: BilevelOptions = {},
): { readonly values: Float32Array; readonly parameters: BilevelParameters } {
  const { codes, ...parameters } = quantizeBilevelTensor(weight, rows, columns, scheme, options);
  return { values: dequantizeBilevel(codes, parameters), parameters };
}

/**
 * The straight-through estimator: 1 where −s'·z ≤ w ≤ s'·(qmax − z) (−μ' ≤ w ≤ s'·qmax − μ'), so that the
 * gradient of the dequantized weight passes to w unchanged, else 0. Scales and zero points get none.
 */
export function gradientMask(weight: Float32Array, parameters: BilevelParameters): Uint8Array {
  const { scheme, scale, zero, offset } = parameters;
  const { groupSize } = scheme;
  const { fround } = Math;
  const qmax = maxCode(scheme);
  const mask = new Uint8Array(weight.length);
  for (let group = 0, i = 0; group < scale.length; group++) {
    const low = offset ? -offset[group] : fround(-scale[group] * zero[group]);
    const high = offset
      ? fround(scale[group] * qmax - offset[group])
      : fround(scale[group] * (qmax - zero[group]));
    for (const end = i + groupSize; i < end; i++) mask[i] = weight[i] >= low && weight[i] <= high ? 1 : 0;
  }
  return mask;
}

/** Weights clamped group by group into a searched range, as clipping initialisation of QAT does. */
export function clampToRange(weight: Float32Array, range: GroupRange, groupSize: number): Float32Array {
  const clamped = new Float32Array(weight.length);
  for (let group = 0, i = 0; i < weight.length; group++) {
    const low = range.min[group];
    const high = range.max[group];
    for (const end = i + groupSize; i < end; i++) {
      const w = weight[i];
      clamped[i] = w > high ? high : w < low ? low : w;
    }
  }
  return clamped;
}
