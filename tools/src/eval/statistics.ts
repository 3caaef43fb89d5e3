/** 97.5 % quantile of the standard normal distribution. */
const Z = 1.959963984540054;

export type Interval = readonly [low: number, high: number];

/**
 * Wilson's 95 % interval of a proportion of `hits` in `count` (E. B. Wilson, JASA 1927): it stays within 0 and 1
 * and is right for small counts and for proportions near the ends.
 */
export function wilsonInterval(hits: number, count: number): Interval {
  if (count === 0) return [0, 1];
  const p = hits / count;
  const centre = p + (Z * Z) / (2 * count);
  const spread = Z * Math.sqrt((p * (1 - p)) / count + (Z * Z) / (4 * count * count));
  const scale = 1 + (Z * Z) / count;
  return [Math.max(0, (centre - spread) / scale), Math.min(1, (centre + spread) / scale)];
}

/** Log-probabilities in float64 of the logits in [start, start + size). */
export function logProbabilities(logits: ArrayLike<number>, start: number, size: number): Float64Array {
  let highest = -Infinity;
  for (let i = 0; i < size; i++) highest = Math.max(highest, logits[start + i]);
  let sum = 0;
  for (let i = 0; i < size; i++) sum += Math.exp(logits[start + i] - highest);
  const shift = highest + Math.log(sum);
  return Float64Array.from({ length: size }, (_, i) => logits[start + i] - shift);
}

/** Σ p (log p − log q), in nats. */
export function klDivergence(p: Float64Array, q: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    // p log p → 0: a term that underflows must not become 0 · ∞.
    const probability = Math.exp(p[i]);
    if (probability > 0) sum += probability * (p[i] - q[i]);
  }
  return sum;
}
