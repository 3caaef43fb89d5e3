import { createRandom } from '../data/random.ts';
import { correctedRetention } from '../eval/scores.ts';
import type { Interval } from '../eval/statistics.ts';

/** One question answered by both models: 1 where right, a share over several runs. */
export interface Pair {
  readonly float: number;
  readonly model: number;
  /** What a blind guess scores there. */
  readonly chance: number;
}

export interface Retention {
  /** Model's accuracy over the float model's; NaN where the float model has no right answer. */
  readonly raw: number;
  readonly rawInterval: Interval;
  /** The same after chance is taken from both; NaN where the float model is no better than chance. */
  readonly corrected: number;
  readonly correctedInterval: Interval;
}

const RESAMPLES = 2000;
const SEED = 1;

/** 95 % intervals by the percentile bootstrap over questions, both models' answers kept together (seeded). */
export function retention(pairs: readonly Pair[]): Retention {
  const random = createRandom(SEED);
  const samples = Array.from({ length: RESAMPLES }, () =>
    ratios(pairs.map(() => pairs[random.int(pairs.length)])),
  );
  const { raw, corrected } = ratios(pairs);
  return {
    raw,
    rawInterval: middle(samples.map((sample) => sample.raw)),
    corrected,
    correctedInterval: middle(samples.map((sample) => sample.corrected)),
  };
}

function ratios(pairs: readonly Pair[]): { raw: number; corrected: number } {
  let float = 0;
  let model = 0;
  let chance = 0;
  for (const pair of pairs) {
    float += pair.float;
    model += pair.model;
    chance += pair.chance;
  }
  return {
    raw: float === 0 ? NaN : model / float,
    corrected: float <= chance ? NaN : correctedRetention(model, float, chance),
  };
}

/** The 2.5 % and 97.5 % quantiles. */
export function middle(values: readonly number[]): Interval {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return [NaN, NaN];
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return [at(0.025), at(0.975)];
}
