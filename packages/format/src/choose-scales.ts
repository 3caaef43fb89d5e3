import { SpeedqError } from './errors.ts';
import { HALF_MAX, roundToHalf } from './float16.ts';
import { maxCode } from './schemes.ts';
import type { BilevelScheme } from './schemes.ts';

/** Scales and zero points of the bilevel quantizer from each group's bounds (docs/format.md). */

/** The scale below which a group counts as constant noise. */
const MIN_SCALE = Math.fround(1e-5);
const MAX_SCALE_CODE = 15;
/** See roundHalfToEven: inlined here because a call per group costs. */
const ROUND = 6755399441055744;

export interface ChosenScales {
  /** Decoded scales s' [rows, columns/groupSize]. */
  readonly scale: Float32Array;
  /** Zero points [rows, columns/groupSize], or 4-bit codes of minima in a scheme that has those. */
  readonly zero: Uint8Array;
  /** How far below zero codes begin, μ' [rows, columns/groupSize]; with minima only. */
  readonly offset?: Float32Array;
  /** 4-bit scale codes [rows, columns/groupSize]. */
  readonly scaleCode: Uint8Array;
  /** Second-level step S of the scales [rows/scaleGroupSize, columns/groupSize]; fp16 unless `reference`. */
  readonly step: Float32Array;
  /** Like `step`: second-level minimum m of the scales, or with minima the step of those. */
  readonly minimum: Float32Array;
  /** The reference's float second-level zero point Z = −m/S, like `step`; only with `reference`. */
  readonly stepZero?: Float32Array;
}

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

/** As docs/format.md has it for integer zero points; bounds min and max [rows, groups]. */
export function chooseFromRange(
  min: Float32Array,
  max: Float32Array,
  rows: number,
  groups: number,
  scheme: BilevelScheme,
  name: string,
): ChosenScales {
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

/**
 * With minima: first those, then scales that reach from the decoded minimum to the largest weight. No scale has
 * code 0, so that codes are always told apart.
 */
export function chooseMinimum(
  min: Float32Array,
  max: Float32Array,
  rows: number,
  groups: number,
  scheme: BilevelScheme,
  name: string,
): ChosenScales {
  const { fround } = Math;
  const qmax = maxCode(scheme);
  const { scaleGroupSize } = scheme;
  const out = allocate(rows, groups, scaleGroupSize);
  const offset = new Float32Array(out.scale.length);
  const { scale, zero, scaleCode, step, minimum } = out;
  for (let block = 0; block < step.length; block++) {
    const group = block % groups;
    const first = ((block - group) / groups) * scaleGroupSize;
    let deepest = 0;
    for (let row = first; row < first + scaleGroupSize; row++) {
      deepest = Math.max(deepest, -min[row * groups + group]);
    }
    const m = roundToHalf(fround(deepest / MAX_SCALE_CODE));
    minimum[block] = m;
    let widest = 0;
    for (let row = first; row < first + scaleGroupSize; row++) {
      const index = row * groups + group;
      const code = m > 0 ? fround(Math.max(-min[index], 0) / m) + ROUND - ROUND : 0;
      zero[index] = code > MAX_SCALE_CODE ? MAX_SCALE_CODE : code;
      offset[index] = m * zero[index];
      const high = Math.max(max[index], 0);
      const s = fround(fround(high + offset[index]) / qmax);
      if (!(Math.max(s, m) <= HALF_MAX)) {
        throw notRepresentable(name, `a range of ${min[index]} to ${high} does not fit fp16`, index, groups);
      }
      scale[index] = s;
      if (s > widest) widest = s;
    }
    const S = roundToHalf(fround(Math.max(widest, MIN_SCALE) / MAX_SCALE_CODE));
    step[block] = S;
    for (let row = first; row < first + scaleGroupSize; row++) {
      const index = row * groups + group;
      const code = fround(scale[index] / S) + ROUND - ROUND;
      scaleCode[index] = code < 1 ? 1 : code > MAX_SCALE_CODE ? MAX_SCALE_CODE : code;
      scale[index] = S * scaleCode[index];
    }
  }
  return { ...out, offset };
}

/** The reference implementation's float32 second level, flaws included. */
export function chooseReference(
  min: Float32Array,
  max: Float32Array,
  rows: number,
  groups: number,
  scheme: BilevelScheme,
): ChosenScales {
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

export function notRepresentable(name: string, what: string, group: number, groups: number): SpeedqError {
  return new SpeedqError(
    'not-representable',
    `${name}: ${what} (row ${Math.floor(group / groups)}, column group ${group % groups}); ` +
      `quantized weights must be finite with scales up to ${HALF_MAX}. Keep this tensor float or check the checkpoint.`,
  );
}
