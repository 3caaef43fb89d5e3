import { chooseBilevel, clampToRange, maxCode } from '@speedq/format';
import type { BilevelOptions, BilevelParameters, BilevelScheme, BilevelTensor } from '@speedq/format';

/**
 * Learned rounding (AdaRound, arXiv 2004.10568, with the sigmoid stretched to [-0.1, 1.1]):
 * Ŵ = s·(clip(⌊W/s⌋ + h(α) + z, 0, qmax) − z), h(α) = clip(1.2·σ(α) − 0.1, 0, 1). Scales and zero points are
 * those that are stored, so that the rounding that is learned is the one that is shipped.
 */

export const STRETCH = 1.2;
export const SHIFT = -0.1;
/** As in fakeQuantize: under the reference's arithmetic a decoded scale may be negative. */
const MIN_DIVISOR = Math.fround(1e-9);

/** A weight between two codes. */
export interface Rounding {
  readonly parameters: BilevelParameters;
  /** ⌊W/s⌋ + z, or ⌊(W + μ)/s⌋, [rows, columns]. */
  readonly base: Float32Array;
  /** α for which h is the fraction of W/s: the weight itself. */
  readonly initial: Float32Array;
}

export function startRounding(
  weight: Float32Array,
  rows: number,
  columns: number,
  scheme: BilevelScheme,
  options: BilevelOptions,
): Rounding {
  const parameters = chooseBilevel(weight, rows, columns, scheme, options);
  const clamped = options.range ? clampToRange(weight, options.range, scheme.groupSize) : weight;
  const base = new Float32Array(weight.length);
  const initial = new Float32Array(weight.length);
  const { groupSize } = scheme;
  const { offset } = parameters;
  for (let i = 0; i < weight.length; i++) {
    const group = Math.floor(i / groupSize);
    const begin = offset ? offset[group] : 0;
    const position = Math.fround((clamped[i] + begin) / Math.max(parameters.scale[group], MIN_DIVISOR));
    const floor = Math.floor(position);
    base[i] = floor + (offset ? 0 : parameters.zero[group]);
    initial[i] = -Math.log(STRETCH / (position - floor - SHIFT) - 1);
  }
  return { parameters, base, initial };
}

/** The final codes: up where α ≥ 0. */
export function settleRounding(
  { parameters, base }: Omit<Rounding, 'initial'>,
  alpha: Float32Array,
): BilevelTensor {
  const qmax = maxCode(parameters.scheme);
  const codes = new Uint8Array(base.length);
  for (let i = 0; i < base.length; i++) {
    const code = base[i] + (alpha[i] >= 0 ? 1 : 0);
    codes[i] = code < 0 ? 0 : code > qmax ? qmax : code;
  }
  return { ...parameters, codes };
}
