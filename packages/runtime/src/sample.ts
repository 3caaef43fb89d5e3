import { SpeedqError } from '@speedq/format';

/**
 * How to draw the next token from logits. The order is that of transformers' logits processors: repetition
 * penalty, temperature, topK, topP of what topK left, minP.
 */
export interface Sampling {
  /** 0: always the most probable token. */
  readonly temperature: number;
  /** Only the k most probable tokens; absent: all. */
  readonly topK?: number;
  /** Of those, the smallest set whose probability reaches p; absent: 1. */
  readonly topP?: number;
  /** Of those, the ones at least this share as probable as the most probable; absent: 0. */
  readonly minP?: number;
  /**
   * Above 1: tokens of the conversation so far become less probable (positive logits are divided by it,
   * negative ones multiplied); absent: 1.
   */
  readonly repetitionPenalty?: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** @throws {SpeedqError} `invalid-argument` for a value outside its range. */
export function checkSampling(options: Omit<Sampling, 'random'>): void {
  const { temperature, topK, topP, minP, repetitionPenalty } = options;
  const bad = (name: string, expected: string, got: unknown) =>
    new SpeedqError('invalid-argument', `${name} must be ${expected}; got ${String(got)}.`);
  if (!(temperature >= 0 && temperature < Infinity)) {
    throw bad('temperature', 'a number of at least 0', temperature);
  }
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1)) {
    throw bad('topK', 'an integer of at least 1', topK);
  }
  if (topP !== undefined && !(topP > 0 && topP <= 1)) throw bad('topP', 'in (0, 1]', topP);
  if (minP !== undefined && !(minP >= 0 && minP <= 1)) throw bad('minP', 'in [0, 1]', minP);
  if (repetitionPenalty !== undefined && !(repetitionPenalty > 0 && repetitionPenalty < Infinity)) {
    throw bad('repetitionPenalty', 'a positive number', repetitionPenalty);
  }
}

/** Whether the choice is simply the largest logit, which the GPU finds by itself. */
export function isGreedy(sampling: Sampling | undefined): boolean {
  return sampling === undefined || (sampling.temperature === 0 && (sampling.repetitionPenalty ?? 1) === 1);
}

/** Changes `logits` in place. Each id counts once, however often it came. */
export function penalizeRepetition(logits: Float32Array, seen: Iterable<number>, penalty: number): void {
  for (const id of seen) logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
}

/** One draw from the softmax of logits/temperature over the kept tokens. The penalty is not applied here. */
export function sampleToken(
  logits: Float32Array,
  { temperature, topK = logits.length, topP = 1, minP = 0, random }: Omit<Sampling, 'repetitionPenalty'>,
): number {
  const best = argmax(logits);
  if (temperature === 0 || topK === 1) return best;
  const weightOf = (id: number): number => Math.exp((logits[id] - logits[best]) / temperature);
  const kept =
    topK >= logits.length && topP === 1
      ? withWeight(logits, weightOf, minP)
      : nucleus(logits, { best, temperature, topK, topP, minP, weightOf });
  const weights = Float64Array.from(kept, weightOf);
  let left = random() * weights.reduce((sum, weight) => sum + weight, 0);
  for (let i = 0; i < kept.length; i++) {
    left -= weights[i];
    if (left < 0) return kept[i];
  }
  return kept[kept.length - 1];
}

/** The lowest id among equals. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

function withWeight(logits: Float32Array, weightOf: (id: number) => number, minP: number): Uint32Array {
  const kept = new Uint32Array(logits.length);
  let count = 0;
  for (let id = 0; id < logits.length; id++) {
    const weight = weightOf(id);
    if (weight > 0 && weight >= minP) kept[count++] = id;
  }
  return kept.subarray(0, count);
}

/** Logits this many temperatures below the best are looked at first: e^-8, a 3,000th of its probability. */
const FIRST_REACH = 8;

/**
 * The tokens that topK, topP and minP leave, most probable first; ties keep the lower id. Sorting a vocabulary
 * of 150,000 takes longer than a decode step, so only as many of the best as are needed are sorted.
 */
function nucleus(
  logits: Float32Array,
  options: Required<Pick<Sampling, 'temperature' | 'topK' | 'topP' | 'minP'>> & {
    readonly best: number;
    readonly weightOf: (id: number) => number;
  },
): number[] {
  const { best, temperature, topK, topP, minP, weightOf } = options;
  const all = topK >= logits.length ? massOf(withWeight(logits, weightOf, 0), weightOf) : undefined;
  for (let reach = FIRST_REACH; ; reach *= 2) {
    const floor = logits[best] - reach * temperature;
    const found: number[] = [];
    for (let id = 0; id < logits.length; id++) if (logits[id] >= floor) found.push(id);
    // Beyond e^-746 a weight is zero in float64: there is nothing to find further down.
    const exhausted = reach > 746 || found.length === logits.length;
    if (!exhausted && (all === undefined ? found.length < topK : massOf(found, weightOf) < topP * all))
      continue;
    found.sort((a, b) => logits[b] - logits[a] || a - b);
    const candidates = found.slice(0, topK);
    const wanted = topP * (all ?? massOf(candidates, weightOf));
    let count = 0;
    let mass = 0;
    while (count < candidates.length && (count === 0 || mass < wanted)) mass += weightOf(candidates[count++]);
    return candidates.slice(0, count).filter((id) => weightOf(id) >= minP);
  }
}

function massOf(ids: ArrayLike<number>, weightOf: (id: number) => number): number {
  let mass = 0;
  for (let i = 0; i < ids.length; i++) mass += weightOf(ids[i]);
  return mass;
}
