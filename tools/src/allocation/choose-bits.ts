/** One way to store a unit. */
export interface Choice {
  readonly bytes: number;
  /** What the model loses when this unit alone is stored so. */
  readonly loss: number;
}

/**
 * Which choice each unit gets, so that losses add up to little and bytes to no more than the budget: a
 * multiple-choice knapsack. Starts from the smallest of each and buys, on the lower convex hulls, what lowers
 * the loss most per byte; then spends what is left wherever a single change still helps. Ties go to the
 * first unit. Undefined where not even the smallest fit.
 */
export function chooseBits(units: readonly (readonly Choice[])[], budget: number): number[] | undefined {
  const hulls = units.map(lowerHull);
  const chosen = hulls.map(([smallest]) => smallest);
  let left = budget - chosen.reduce((sum, choice, unit) => sum + units[unit][choice].bytes, 0);
  if (left < 0) return undefined;
  const purchases = hulls.flatMap((hull, unit) =>
    hull.slice(1).map((to, i) => ({ unit, from: hull[i], to, gain: gainPerByte(units[unit], hull[i], to) })),
  );
  // Sorting is stable, and gains of a hull fall: those of a unit stay in their order.
  purchases.sort((a, b) => b.gain - a.gain);
  for (const { unit, from, to } of purchases) {
    const price = units[unit][to].bytes - units[unit][from].bytes;
    if (chosen[unit] !== from || price > left) continue;
    chosen[unit] = to;
    left -= price;
  }
  for (;;) {
    const best = bestChange(units, chosen, left);
    if (best === undefined) return chosen;
    left -= units[best.unit][best.to].bytes - units[best.unit][chosen[best.unit]].bytes;
    chosen[best.unit] = best.to;
  }
}

function gainPerByte(choices: readonly Choice[], from: number, to: number): number {
  return (choices[from].loss - choices[to].loss) / (choices[to].bytes - choices[from].bytes);
}

/** Indexes of the choices that are best for some price of a byte, from the smallest on. */
function lowerHull(choices: readonly Choice[]): number[] {
  const order = [...choices.keys()].sort(
    (a, b) => choices[a].bytes - choices[b].bytes || choices[a].loss - choices[b].loss,
  );
  const hull: number[] = [];
  for (const next of order) {
    if (hull.length > 0 && choices[next].loss >= choices[hull.at(-1)!].loss) continue;
    while (
      hull.length > 1 &&
      gainPerByte(choices, hull.at(-2)!, hull.at(-1)!) <= gainPerByte(choices, hull.at(-1)!, next)
    ) {
      hull.pop();
    }
    hull.push(next);
  }
  return hull;
}

function bestChange(
  units: readonly (readonly Choice[])[],
  chosen: readonly number[],
  left: number,
): { readonly unit: number; readonly to: number } | undefined {
  let best: { readonly unit: number; readonly to: number } | undefined;
  let most = 0;
  for (const [unit, choices] of units.entries()) {
    const now = choices[chosen[unit]];
    for (const [to, choice] of choices.entries()) {
      const saved = now.loss - choice.loss;
      if (saved <= most || choice.bytes - now.bytes > left) continue;
      most = saved;
      best = { unit, to };
    }
  }
  return best;
}
