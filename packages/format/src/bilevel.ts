import { SpeedqError } from './errors.ts';
import { HALF_MAX, roundToHalf } from './float16.ts';
import { checkScheme, maxCode } from './schemes.ts';
import type { BilevelScheme } from './schemes.ts';

/**
 * The bilevel quantizer (docs/format.md, "How codes are chosen"; SPEED-Q, arXiv 2511.08914). Every operation
 * is rounded to float32 in the order written there, so that training graphs and kernels reproduce it to the bit.
 */

/** The scale below which a group counts as constant noise. */
const MIN_SCALE = Math.fround(1e-5);
/** Guards the division by a decoded scale, which under the reference's arithmetic may be negative. */
const MIN_DIVISOR = Math.fround(1e-9);
const MAX_SCALE_CODE = 15;
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
export interface BilevelParameters {
  readonly scheme: BilevelScheme;
  readonly rows: number;
  readonly columns: number;
  /** Decoded scales s' [rows, columns/groupSize]. */
  readonly scale: Float32Array;
  /** Zero points [rows, columns/groupSize]. */
  readonly zero: Uint8Array;
  /** 4-bit scale codes [rows, columns/groupSize]. */
  readonly scaleCode: Uint8Array;
  /** Second-level step S [rows/scaleGroupSize, columns/groupSize]; an fp16 value unless `reference`. */
  readonly step: Float32Array;
  /** Second-level minimum m, like `step`. */
  readonly minimum: Float32Array;
  /** The reference's float second-level zero point Z = −m/S, like `step`; only with `reference`. */
  readonly stepZero?: Float32Array;
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
  const chosen = reference
    ? chooseReference(min, max, rows, groups, scheme)
    : chooseFromRange(min, max, rows, groups, scheme, name);
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

type Chosen = Omit<BilevelParameters, 'scheme' | 'rows' | 'columns'>;

function allocate(rows: number, groups: number, scaleGroupSize: number) {
  const blocks = (rows / scaleGroupSize) * groups;
  return {
    scale: new Float32Array(rows * groups),
    zero: new Uint8Array(rows * groups),
    scaleCode: new Uint8Array(rows * groups),
    step: new Float32Array(blocks),
    minimum: new Float32Array(blocks),
  };
}

function chooseFromRange(
  min: Float32Array,
  max: Float32Array,
  rows: number,
  groups: number,
  scheme: BilevelScheme,
  name: string,
): Chosen {
  const { fround } = Math;
  const qmax = maxCode(scheme);
  const { scaleGroupSize } = scheme;
  const out = allocate(rows, groups, scaleGroupSize);
  const { scale, zero, scaleCode, step, minimum } = out;
  for (let block = 0; block < step.length; block++) {
    const group = block % groups;
    const first = ((block - group) / groups) * scaleGroupSize;
    let smallest = Infinity;
    let largest = 0;
    for (let row = first; row < first + scaleGroupSize; row++) {
      const index = row * groups + group;
      const low = Math.min(min[index], 0);
      const high = Math.max(max[index], 0);
      const s = Math.max(fround(fround(high - low) / qmax), MIN_SCALE);
      if (!(s <= HALF_MAX)) throw notRepresentable(name, `a scale of ${s} does not fit fp16`, index, groups);
      scale[index] = s;
      // an all-zero group decodes to zero at any scale and must not widen the others' range
      if (high === low) continue;
      if (s < smallest) smallest = s;
      if (s > largest) largest = s;
    }
    if (largest === 0) smallest = largest = MIN_SCALE;
    const S = roundToHalf(fround(fround(largest - smallest) / MAX_SCALE_CODE));
    const m = roundToHalf(smallest);
    step[block] = S;
    minimum[block] = m;
    for (let row = first; row < first + scaleGroupSize; row++) {
      const index = row * groups + group;
      let code = 0;
      if (S > 0) {
        code = fround(fround(scale[index] - m) / S) + ROUND - ROUND;
        code = code < 0 ? 0 : code > MAX_SCALE_CODE ? MAX_SCALE_CODE : code;
      }
      const decoded = fround(S * code + m);
      const z = fround(-Math.min(min[index], 0) / decoded) + ROUND - ROUND;
      scaleCode[index] = code;
      scale[index] = decoded;
      zero[index] = z > qmax ? qmax : z;
    }
  }
  return out;
}

function chooseReference(
  min: Float32Array,
  max: Float32Array,
  rows: number,
  groups: number,
  scheme: BilevelScheme,
): Chosen {
  const { fround } = Math;
  const qmax = maxCode(scheme);
  const { scaleGroupSize } = scheme;
  const out = allocate(rows, groups, scaleGroupSize);
  const { scale, zero, scaleCode, step, minimum } = out;
  const stepZero = new Float32Array(step.length);
  for (let index = 0; index < scale.length; index++) {
    const constant = min[index] === max[index];
    const low = constant ? -1 : min[index];
    const high = constant ? 1 : max[index];
    const s = Math.max(fround(fround(high - low) / qmax), MIN_SCALE);
    const z = fround(-low / s) + ROUND - ROUND;
    scale[index] = s;
    zero[index] = z < 0 ? 0 : z > qmax ? qmax : z;
  }
  for (let block = 0; block < step.length; block++) {
    const group = block % groups;
    const first = ((block - group) / groups) * scaleGroupSize;
    let smallest = Infinity;
    let largest = -Infinity;
    for (let row = first; row < first + scaleGroupSize; row++) {
      const s = scale[row * groups + group];
      if (s < smallest) smallest = s;
      if (s > largest) largest = s;
    }
    if (smallest === largest) {
      smallest = -1;
      largest = 1;
    }
    const S = Math.max(fround(fround(largest - smallest) / MAX_SCALE_CODE), MIN_SCALE);
    const Z = fround(-smallest / S);
    step[block] = S;
    stepZero[block] = Z;
    minimum[block] = fround(-S * Z);
    for (let row = first; row < first + scaleGroupSize; row++) {
      const index = row * groups + group;
      let code = fround(fround(scale[index] / S) + Z) + ROUND - ROUND;
      code = code < 0 ? 0 : code > MAX_SCALE_CODE ? MAX_SCALE_CODE : code;
      scaleCode[index] = code;
      scale[index] = fround(S * fround(code - Z));
    }
  }
  return { ...out, stepZero };
}

/** Codes [rows, columns] of weight under fixed parameters. */
export function quantizeBilevel(weight: Float32Array, parameters: BilevelParameters): Uint8Array {
  const { scheme, scale, zero } = parameters;
  const { groupSize } = scheme;
  const { fround } = Math;
  const qmax = maxCode(scheme);
  const codes = new Uint8Array(weight.length);
  for (let group = 0, i = 0; group < scale.length; group++) {
    const s = Math.max(scale[group], MIN_DIVISOR);
    const z = zero[group];
    for (const end = i + groupSize; i < end; i++) {
      const q = fround(fround(weight[i] / s) + z) + ROUND - ROUND;
      codes[i] = q < 0 ? 0 : q > qmax ? qmax : q;
    }
  }
  return codes;
}

/** Weights [rows, columns] that the codes stand for: s'·(q − z). */
export function dequantizeBilevel(codes: Uint8Array, parameters: BilevelParameters): Float32Array {
  const { scheme, scale, zero } = parameters;
  const { groupSize } = scheme;
  const values = new Float32Array(codes.length);
  for (let group = 0, i = 0; group < scale.length; group++) {
    const s = scale[group];
    const z = zero[group];
    for (const end = i + groupSize; i < end; i++) values[i] = s * (codes[i] - z);
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
 * The straight-through estimator: 1 where −s'·z ≤ w ≤ s'·(qmax − z), so that the gradient of the dequantized
 * weight passes to w unchanged, else 0. Scales and zero points get none.
 */
export function gradientMask(weight: Float32Array, parameters: BilevelParameters): Uint8Array {
  const { scheme, scale, zero } = parameters;
  const { groupSize } = scheme;
  const { fround } = Math;
  const qmax = maxCode(scheme);
  const mask = new Uint8Array(weight.length);
  for (let group = 0, i = 0; group < scale.length; group++) {
    const low = fround(-scale[group] * zero[group]);
    const high = fround(scale[group] * (qmax - zero[group]));
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

function notRepresentable(name: string, what: string, group: number, groups: number): SpeedqError {
  return new SpeedqError(
    'not-representable',
    `${name}: ${what} (row ${Math.floor(group / groups)}, column group ${group % groups}); ` +
      `quantized weights must be finite with scales up to ${HALF_MAX}. Keep this tensor float or check the checkpoint.`,
  );
}
