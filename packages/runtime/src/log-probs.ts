/** How probable the model found a token: natural logarithms, before temperature, penalties and constraints. */
export interface TokenLogProbs {
  readonly id: number;
  readonly logProb: number;
  /** The most probable tokens at this place, most probable first. */
  readonly top: readonly { readonly id: number; readonly logProb: number }[];
}

/** @param count how many of the most probable tokens to name. Ties keep the lower id. */
export function tokenLogProbs(logits: Float32Array, id: number, count: number): TokenLogProbs {
  let highest = -Infinity;
  for (const logit of logits) if (logit > highest) highest = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - highest);
  const total = highest + Math.log(sum);

  const top: { id: number; logProb: number }[] = [];
  if (count === 0) return { id, logProb: logits[id] - total, top };
  for (let candidate = 0; candidate < logits.length; candidate++) {
    const logProb = logits[candidate] - total;
    if (top.length === count && !(logProb > top[count - 1].logProb)) continue;
    let at = top.length;
    while (at > 0 && logProb > top[at - 1].logProb) at--;
    top.splice(at, 0, { id: candidate, logProb });
    if (top.length > count) top.pop();
  }
  return { id, logProb: logits[id] - total, top };
}
