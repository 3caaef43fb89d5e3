/** Share of the peak learning rate that is left at the end. */
const FINAL_SHARE = 0.05;

/** Linear warm-up, constant, linear decay over the last `decay` of the steps. `step` counts from 1. */
export function learningRateAt(
  step: number,
  steps: number,
  { learningRate, warmupSteps, decay }: { learningRate: number; warmupSteps: number; decay: number },
): number {
  const warm = Math.min(1, step / warmupSteps);
  const remaining = (steps - step) / (decay * steps);
  const cooled = decay > 0 && remaining < 1 ? FINAL_SHARE + (1 - FINAL_SHARE) * Math.max(remaining, 0) : 1;
  return learningRate * Math.min(warm, cooled);
}
