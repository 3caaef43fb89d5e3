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
/** Pairs of them. */
export const CANDIDATES = STEPS * STEPS;
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
  /** A faster way to the same errors; undefined for what it does not cover. */
  readonly openScorer?: (task: ScorerTask) => CandidateScorer | undefined;
}

export interface ScorerTask {
  /** [rows, columns]. */
  readonly weight: Float32Array;
  readonly gram: Float64Array | Float32Array;
  readonly scheme: BilevelScheme;
}

/** Scores ranges of one group of weights side by side. */
export interface CandidateScorer {
  /** Of each candidate: the range clamped to, the scale, and the zero point in codes or, with minima, in weights. */
  readonly min: Float32Array;
  readonly max: Float32Array;
  readonly scale: Float32Array;
  readonly offset: Float32Array;
  /** Squared errors of the group's partial output, in float64. */
  readonly errors: Float64Array;
  /** Of the first `count` candidates, for the group of weights that begins at index · groupSize. */
  score(index: number, group: number, count: number): void;
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
  const task = { weight, gram, scheme };
  const scorer = options.openScorer?.(task) ?? plainScorer(task);
  const search = new Search(scorer, maxCode(scheme), reference);
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

/** Tries all shrink factors on one group at a time. */
class GroupSearch {
  /** Second-level step and minimum while re-coding scales; NaN in the first pass. */
  protected step = NaN;
  protected minimum = NaN;
  /** Scales that leave step and minimum as they are. */
  private smallest = 0;
  protected largest = Infinity;
  /** Scale and zero point (or minimum) that the last candidate was given. */
  protected scale = 0;
  protected offset = 0;
  /** By what `choose` returns: the visit of a group in which a candidate had that number. */
  private readonly lastSeen: Uint32Array;
  private visits = 0;

  constructor(
    protected readonly scorer: CandidateScorer,
    protected readonly qmax: number,
    private readonly reference: boolean,
  ) {
    this.lastSeen = new Uint32Array(16 * (qmax + 1) ** 3);
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
    const { scorer, lastSeen } = this;
    const visit = ++this.visits;
    let count = 0;
    for (let i = 0; i < STEPS; i++) {
      const max = fround(full.max[index] * fround(1 - i / 20));
      for (let j = 0; j < STEPS; j++) {
        const min = fround(full.min[index] * fround(1 - j / 20));
        const key = this.choose(min, max);
        if (key === REFUSED || (key >= 0 && lastSeen[key] === visit)) continue;
        if (key >= 0) lastSeen[key] = visit;
        scorer.min[count] = min;
        scorer.max[count] = max;
        scorer.scale[count] = this.scale;
        scorer.offset[count++] = this.offset;
      }
    }
    scorer.score(index, group, count);
    let least = Infinity;
    for (let k = 0; k < count; k++) {
      if (!(scorer.errors[k] < least)) continue;
      least = scorer.errors[k];
      best.min[index] = scorer.min[k];
      best.max[index] = scorer.max[k];
    }
  }

  /**
   * Sets scale and offset of the range. Returns REFUSED, or a number that ranges which code all weights alike
   * share, or UNIQUE.
   */
  protected choose(min: number, max: number): number {
    const { fround } = Math;
    const { step, minimum, qmax } = this;
    const s = this.scaleOf(min, max);
    if (s < this.smallest || s > this.largest) return REFUSED;
    this.scale = s;
    if (!(step >= 0)) {
      this.offset = this.zeroOf(min);
      return UNIQUE;
    }
    const nearest = step === 0 ? 0 : roundHalfToEven(fround(fround(s - minimum) / step));
    const code = Math.min(Math.max(nearest, 0), 15);
    this.scale = fround(step * code + minimum);
    const zero = this.zeroOf(min);
    this.offset = zero;
    if (!(min <= max)) return UNIQUE;
    // Rounding keeps order: ranges of one scale and zero point clamp alike where their ends have the same codes.
    const ends = this.codeOf(min) * (qmax + 1) + this.codeOf(max);
    return (code * (qmax + 1) + zero) * (qmax + 1) ** 2 + ends;
  }

  private zeroOf(min: number): number {
    const low = this.reference ? min : Math.min(min, 0);
    return Math.min(Math.max(-roundHalfToEven(Math.fround(low / this.scale)), 0), this.qmax);
  }

  private codeOf(w: number): number {
    const q = roundHalfToEven(Math.fround(Math.fround(w / this.scale) + this.offset));
    return q < 0 ? 0 : q > this.qmax ? this.qmax : q;
  }
}

const REFUSED = -2;
const UNIQUE = -1;

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

  protected override choose(min: number, max: number): number {
    this.scale = this.scaleOf(min, max);
    this.offset = Math.max(-min, 0);
    if (this.scale > this.largest) return REFUSED;
    if (!(this.step >= 0)) return UNIQUE;
    if (this.offset > this.deepest) return REFUSED;
    const { own, offset, scale } = this.decoded(min, max);
    if (own > this.largest) return REFUSED;
    this.scale = scale;
    this.offset = offset;
    return UNIQUE;
  }
}

/** In plain JavaScript: what faster ones are tested against. */
function plainScorer({ weight, gram, scheme }: ScorerTask): CandidateScorer {
  const { groupSize } = scheme;
  const qmax = maxCode(scheme);
  const error = new Float64Array(groupSize);
  const array = () => new Float32Array(CANDIDATES);
  const candidates = { min: array(), max: array(), scale: array(), offset: array() };
  const errors = new Float64Array(CANDIDATES);
  const quantize = scheme.zero === 'minimum' ? withMinimum : withZeroPoint;
  return {
    ...candidates,
    errors,
    score(index, group, count) {
      const weights = weight.subarray(index * groupSize, (index + 1) * groupSize);
      const matrix = gram.subarray(group * groupSize * groupSize, (group + 1) * groupSize * groupSize);
      for (let k = 0; k < count; k++) {
        const { min, max, scale, offset } = candidates;
        quantize(weights, min[k], max[k], scale[k], offset[k], qmax, error);
        errors[k] = quadraticForm(matrix, error);
      }
    },
  };
}

function withZeroPoint(
  weights: Float32Array,
  min: number,
  max: number,
  s: number,
  z: number,
  qmax: number,
  error: Float64Array,
): void {
  const { fround } = Math;
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i];
    const clamped = w > max ? max : w < min ? min : w;
    const q = roundHalfToEven(fround(fround(clamped / s) + z));
    error[i] = w - fround(s * ((q < 0 ? 0 : q > qmax ? qmax : q) - z));
  }
}

function withMinimum(
  weights: Float32Array,
  min: number,
  max: number,
  s: number,
  offset: number,
  qmax: number,
  error: Float64Array,
): void {
  const { fround } = Math;
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i];
    const clamped = w > max ? max : w < min ? min : w;
    const q = roundHalfToEven(fround(fround(clamped + offset) / s));
    error[i] = w - fround(s * (q < 0 ? 0 : q > qmax ? qmax : q) - offset);
  }
}

/** eᵀ·G·e. */
function quadraticForm(gram: Float64Array | Float32Array, error: Float64Array): number {
  const n = error.length;
  let total = 0;
  for (let i = 0; i < n; i++) {
    const e = error[i];
    let sum = 0;
    for (let j = 0; j < i; j++) sum += gram[i * n + j] * error[j];
    total += e * (2 * sum + gram[i * n + i] * e);
  }
  return total;
}
