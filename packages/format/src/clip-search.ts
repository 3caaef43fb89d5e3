import { SpeedqError } from './errors.ts';
import { roundHalfToEven, roundToHalf } from './float16.ts';
import { groupRange } from './bilevel.ts';
import type { GroupRange } from './bilevel.ts';
import { checkScheme, maxCode } from './schemes.ts';
import type { BilevelScheme } from './schemes.ts';

/**
 * Asymmetric clipping search (SPEED-Q, arXiv 2511.08914, stage 3): per group, shrink the largest and the
 * smallest weight independently and keep the pair with the least squared error of the group's partial output
 * on calibration activations. That error is eᵀ·G·e with e the weight error and G the Gram matrix of the
 * group's activations, so tokens are visited once, not once per candidate.
 */

/** 1, 0.95, …, 0.55. */
const STEPS = 10;
const MIN_SCALE = Math.fround(1e-5);

/**
 * Adds XᵀX of each column group to `into`.
 * activations [rows, columns]; into [columns/groupSize, groupSize, groupSize].
 */
export function accumulateGram(
  activations: Float32Array,
  rows: number,
  columns: number,
  groupSize: number,
  into: Float64Array,
): void {
  if (
    columns % groupSize !== 0 ||
    activations.length !== rows * columns ||
    into.length !== columns * groupSize
  ) {
    throw new SpeedqError(
      'shape-mismatch',
      `Gram matrices of [${rows}, ${columns}] activations in groups of ${groupSize} need ` +
        `${columns * groupSize} entries, got ${into.length} (and ${activations.length} activations).`,
    );
  }
  for (let group = 0; group < columns / groupSize; group++) {
    const base = group * groupSize * groupSize;
    for (let row = 0; row < rows; row++) {
      const offset = row * columns + group * groupSize;
      for (let i = 0; i < groupSize; i++) {
        const a = activations[offset + i];
        const target = base + i * groupSize;
        for (let j = 0; j <= i; j++) into[target + j] += a * activations[offset + j];
      }
    }
    for (let i = 0; i < groupSize; i++) {
      for (let j = 0; j < i; j++) into[base + j * groupSize + i] = into[base + i * groupSize + j];
    }
  }
}

export interface ClipSearchOptions {
  readonly name?: string;
  /** Score candidates by the reference's single-level quantizer instead of the one that is trained with. */
  readonly reference?: boolean;
}

/**
 * The range of each group of weight [rows, columns] to clamp to.
 * gram: [columns/groupSize, groupSize, groupSize] from accumulateGram.
 *
 * By default candidates are scored as they will be stored. A first pass with unquantized scales gives each
 * block its smallest and largest scale, hence step and minimum; the two groups that set them are left alone and
 * the others searched again among scales in between, re-coded. So the second pass can only lower the error.
 */
export function searchClipRange(
  weight: Float32Array,
  rows: number,
  columns: number,
  scheme: BilevelScheme,
  gram: Float64Array | Float32Array,
  options: ClipSearchOptions = {},
): GroupRange {
  const { name = 'weight', reference = false } = options;
  checkScheme(scheme, [rows, columns], name);
  const { groupSize, scaleGroupSize } = scheme;
  if (gram.length !== columns * groupSize) {
    throw new SpeedqError(
      'shape-mismatch',
      `${name}: expected Gram matrices with ${columns * groupSize} entries, got ${gram.length}.`,
    );
  }
  const full = groupRange(weight, rows, columns, groupSize, name);
  const best: GroupRange = { min: full.min.slice(), max: full.max.slice() };
  const Search = scheme.zero === 'minimum' ? MinimumSearch : GroupSearch;
  const search = new Search(weight, gram, groupSize, maxCode(scheme), reference);
  const groups = columns / groupSize;
  const visit = (index: number): void => search.run(index, index % groups, full, best);
  for (let index = 0; index < rows * groups; index++) visit(index);
  if (reference) return best;
  for (let group = 0; group < groups; group++) {
    for (let first = 0; first < rows; first += scaleGroupSize) {
      const fixed = search.fixBlock(best, first, scaleGroupSize, group, groups);
      for (let row = first; row < first + scaleGroupSize; row++) {
        if (!fixed.includes(row * groups + group)) visit(row * groups + group);
      }
    }
  }
  return best;
}

/** Tries all shrink factors on one group at a time; holds the scratch space. */
class GroupSearch {
  protected readonly weight: Float32Array;
  private readonly gram: Float64Array | Float32Array;
  protected readonly groupSize: number;
  protected readonly qmax: number;
  private readonly reference: boolean;
  protected readonly error: Float64Array;
  /** Second-level step and minimum while re-coding scales; NaN in the first pass. */
  protected step = NaN;
  protected minimum = NaN;
  /** Scales that leave step and minimum as they are. */
  private smallest = 0;
  protected largest = Infinity;
  /** What candidates of the group at hand scored that are coded alike, while re-coding scales. */
  private readonly keys = new Int32Array(STEPS * STEPS);
  private readonly scores = new Float64Array(STEPS * STEPS);
  private known = 0;

  constructor(
    weight: Float32Array,
    gram: Float64Array | Float32Array,
    groupSize: number,
    qmax: number,
    reference: boolean,
  ) {
    this.weight = weight;
    this.gram = gram;
    this.groupSize = groupSize;
    this.qmax = qmax;
    this.reference = reference;
    this.error = new Float64Array(groupSize);
  }

  /** Fixes step and minimum from the block's present ranges; returns the two groups that determine them. */
  fixBlock(range: GroupRange, first: number, count: number, group: number, groups: number): number[] {
    this.smallest = Infinity;
    this.largest = 0;
    let [lowest, highest] = [-1, -1];
    for (let row = first; row < first + count; row++) {
      const index = row * groups + group;
      const s = this.scaleOf(range.min[index], range.max[index]);
      if (range.min[index] === 0 && range.max[index] === 0) continue;
      if (s < this.smallest) {
        this.smallest = s;
        lowest = index;
      }
      if (s > this.largest) {
        this.largest = s;
        highest = index;
      }
    }
    this.step = roundToHalf(Math.fround(Math.fround(this.largest - this.smallest) / 15));
    this.minimum = roundToHalf(this.smallest);
    return [lowest, highest];
  }

  protected scaleOf(min: number, max: number): number {
    const low = this.reference ? min : Math.min(min, 0);
    const high = this.reference ? max : Math.max(max, 0);
    return Math.max(Math.fround(Math.fround(high - low) / this.qmax), MIN_SCALE);
  }

  run(index: number, group: number, full: GroupRange, best: GroupRange): void {
    const { fround } = Math;
    let bestError = Infinity;
    this.known = 0;
    for (let i = 0; i < STEPS; i++) {
      const max = fround(full.max[index] * fround(1 - i / 20));
      for (let j = 0; j < STEPS; j++) {
        const min = fround(full.min[index] * fround(1 - j / 20));
        const s = this.scaleOf(min, max);
        if (s < this.smallest || s > this.largest) continue;
        const error = this.score(index, group, min, max, s);
        if (error < bestError) {
          bestError = error;
          best.min[index] = min;
          best.max[index] = max;
        }
      }
    }
  }

  /** Squared error of the group's partial output when clamped to [min, max] and quantized. */
  protected score(index: number, group: number, min: number, max: number, chosen: number): number {
    const { fround } = Math;
    const { step, minimum, qmax } = this;
    if (!(step >= 0)) return this.quantizedError(index, group, min, max, chosen, this.zeroOf(min, chosen));
    const nearest = step === 0 ? 0 : roundHalfToEven(fround(fround(chosen - minimum) / step));
    const code = Math.min(Math.max(nearest, 0), 15);
    const s = fround(step * code + minimum);
    const z = this.zeroOf(min, s);
    if (!(min <= max)) return this.quantizedError(index, group, min, max, s, z);
    // Rounding keeps order: candidates of one scale and zero point clamp alike where their ends have the same codes.
    const low = this.codeOf(min, s, z);
    const high = this.codeOf(max, s, z);
    const key = ((code * (qmax + 1) + z) * (qmax + 1) + low) * (qmax + 1) + high;
    for (let i = 0; i < this.known; i++) if (this.keys[i] === key) return this.scores[i];
    this.keys[this.known] = key;
    return (this.scores[this.known++] = this.quantizedError(index, group, min, max, s, z));
  }

  private zeroOf(min: number, s: number): number {
    const low = this.reference ? min : Math.min(min, 0);
    return Math.min(Math.max(-roundHalfToEven(Math.fround(low / s)), 0), this.qmax);
  }

  private codeOf(w: number, s: number, z: number): number {
    const q = roundHalfToEven(Math.fround(Math.fround(w / s) + z));
    return q < 0 ? 0 : q > this.qmax ? this.qmax : q;
  }

  private quantizedError(
    index: number,
    group: number,
    min: number,
    max: number,
    s: number,
    z: number,
  ): number {
    const { weight, groupSize, qmax, error } = this;
    const { fround } = Math;
    const start = index * groupSize;
    for (let i = 0; i < groupSize; i++) {
      const w = weight[start + i];
      const clamped = w > max ? max : w < min ? min : w;
      const q = roundHalfToEven(fround(fround(clamped / s) + z));
      error[i] = w - fround(s * ((q < 0 ? 0 : q > qmax ? qmax : q) - z));
    }
    return this.outputError(group);
  }

  /** eᵀ·G·e of the weight errors. */
  protected outputError(group: number): number {
    const { gram, groupSize, error } = this;
    const base = group * groupSize * groupSize;
    const whole = groupSize - (groupSize % 4);
    let total = 0;
    // Four rows at a time: their sums need not wait for each other.
    for (let i = 0; i < whole; i += 4) {
      const a = base + i * groupSize;
      const b = a + groupSize;
      const c = b + groupSize;
      const d = c + groupSize;
      let sumA = 0;
      let sumB = 0;
      let sumC = 0;
      let sumD = 0;
      for (let j = 0; j < i; j++) {
        const e = error[j];
        sumA += gram[a + j] * e;
        sumB += gram[b + j] * e;
        sumC += gram[c + j] * e;
        sumD += gram[d + j] * e;
      }
      const ea = error[i];
      const eb = error[i + 1];
      const ec = error[i + 2];
      const ed = error[i + 3];
      sumB += gram[b + i] * ea;
      sumC = sumC + gram[c + i] * ea + gram[c + i + 1] * eb;
      sumD = sumD + gram[d + i] * ea + gram[d + i + 1] * eb + gram[d + i + 2] * ec;
      total += ea * (2 * sumA + gram[a + i] * ea);
      total += eb * (2 * sumB + gram[b + i + 1] * eb);
      total += ec * (2 * sumC + gram[c + i + 2] * ec);
      total += ed * (2 * sumD + gram[d + i + 3] * ed);
    }
    for (let i = whole; i < groupSize; i++) {
      const row = base + i * groupSize;
      let sum = 0;
      for (let j = 0; j < i; j++) sum += gram[row + j] * error[j];
      total += error[i] * (2 * sum + gram[row + i] * error[i]);
    }
    return total;
  }
}

/** The same with minima: a block's deepest minimum sets their step, its widest scale the step of scales. */
class MinimumSearch extends GroupSearch {
  private deepest = Infinity;

  override fixBlock(
    range: GroupRange,
    first: number,
    count: number,
    group: number,
    groups: number,
  ): number[] {
    const rows = Array.from({ length: count }, (_, r) => (first + r) * groups + group);
    const depth = (index: number) => Math.max(-range.min[index], 0);
    const lowest = rows.reduce((found, index) => (depth(index) > depth(found) ? index : found));
    this.deepest = depth(lowest);
    this.minimum = roundToHalf(Math.fround(this.deepest / 15));
    const width = (index: number) => this.decoded(range.min[index], range.max[index]).own;
    const highest = rows.reduce((found, index) => (width(index) > width(found) ? index : found));
    this.largest = width(highest);
    this.step = roundToHalf(Math.fround(Math.max(this.largest, MIN_SCALE) / 15));
    return [lowest, highest];
  }

  /** Minimum and scale as stored, and the scale before it is coded. */
  private decoded(min: number, max: number) {
    const { fround } = Math;
    const depth = Math.max(-min, 0);
    const code = this.minimum > 0 ? Math.min(roundHalfToEven(fround(depth / this.minimum)), 15) : 0;
    const offset = this.minimum * code;
    const own = fround(fround(Math.max(max, 0) + offset) / this.qmax);
    const scaleCode = roundHalfToEven(fround(own / this.step));
    return { offset, own, scale: this.step * Math.min(Math.max(scaleCode, 1), 15) };
  }

  protected override score(index: number, group: number, min: number, max: number, chosen: number): number {
    const { weight, groupSize, qmax, error } = this;
    const { fround } = Math;
    let s = chosen;
    let offset = Math.max(-min, 0);
    if (this.step >= 0) {
      if (offset > this.deepest) return Infinity;
      const { own, ...stored } = this.decoded(min, max);
      if (own > this.largest) return Infinity;
      ({ offset, scale: s } = stored);
    }
    const start = index * groupSize;
    for (let i = 0; i < groupSize; i++) {
      const w = weight[start + i];
      const clamped = w > max ? max : w < min ? min : w;
      const q = roundHalfToEven(fround(fround(clamped + offset) / s));
      error[i] = w - fround(s * (q < 0 ? 0 : q > qmax ? qmax : q) - offset);
    }
    return this.outputError(group);
  }
}
