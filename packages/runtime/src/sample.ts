import { SpeedqError } from '@speedq/format';

/** How to draw the next token from logits. `temperature` > 0; greedy decoding has no Sampling at all. */
export interface Sampling {
  readonly temperature: number;
  /** Only the k most probable tokens; absent: all. */
  readonly topK?: number;
  /** Of those, the smallest set whose probability reaches p; absent: 1. */
  readonly topP?: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** @throws {SpeedqError} `invalid-argument` for a value outside its range. */
export function checkSampling({ temperature, topK, topP }: Omit<Sampling, 'random'>): void {
  const bad = (name: string, expected: string, got: unknown) =>
    new SpeedqError('invalid-argument', `${name} must be ${expected}; got ${String(got)}.`);
  if (!(temperature > 0 && temperature < Infinity))
    throw bad('temperature', 'a positive number', temperature);
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1)) {
    throw bad('topK', 'an integer of at least 1', topK);
  }
  if (topP !== undefined && !(topP > 0 && topP <= 1)) throw bad('topP', 'in (0, 1]', topP);
}

/** Softmax of logits/temperature over the kept tokens, then one draw. Ties keep the lower id first. */
export function sampleToken(
  logits: Float32Array,
  { temperature, topK = logits.length, topP = 1, random }: Sampling,
): number {
  const order = topK === 1 ? Uint32Array.of(argmax(logits)) : descending(logits);
  const kept = order.subarray(0, Math.min(topK, order.length));
  const highest = logits[kept[0]];
  const weights = Float64Array.from(kept, (id) => Math.exp((logits[id] - highest) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);

  let count = 0;
  let mass = 0;
  while (count < kept.length && (count === 0 || mass < topP * total)) mass += weights[count++];

  let left = random() * mass;
  for (let i = 0; i < count; i++) {
    left -= weights[i];
    if (left < 0) return kept[i];
  }
  return kept[count - 1];
}

function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

function descending(values: Float32Array): Uint32Array {
  return Uint32Array.from(values.keys()).sort((a, b) => values[b] - values[a] || a - b);
}
