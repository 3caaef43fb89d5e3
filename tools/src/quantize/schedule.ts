/**
 * Learning rate of update `step` (from 0) of `steps`: rises linearly over the first `warmupRatio` of the updates,
 * then falls as a cosine to zero (the schedule transformers calls "cosine").
 */
export function cosineRate(step: number, steps: number, peak: number, warmupRatio: number): number {
  const warmup = Math.ceil(steps * warmupRatio);
  if (step < warmup) return (peak * step) / Math.max(1, warmup);
  const progress = (step - warmup) / Math.max(1, steps - warmup);
  return peak * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, progress)));
}
