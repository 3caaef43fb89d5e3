/**
 * Which tokens may come next, given those that came. An object serves one answer; stop tokens are not among
 * its tokens.
 */
export interface TokenConstraint {
  /** Whether the answer may end here. */
  readonly canEnd: boolean;
  /** One bit per token id, lowest bit first: 1 where the token may come next. Valid until the next `accept`. */
  allowed(): Uint32Array;
  /** The token that came; one that `allowed` named. */
  accept(id: number): void;
}

/** Sets the logits of tokens that may not come next to -Infinity. Returns how many may. */
export function applyConstraint(
  logits: Float32Array,
  constraint: TokenConstraint,
  stopTokens: ReadonlySet<number>,
): number {
  const allowed = constraint.allowed();
  let count = 0;
  for (let id = 0; id < logits.length; id++) {
    const may = stopTokens.has(id) ? constraint.canEnd : ((allowed[id >> 5] ?? 0) & (1 << (id & 31))) !== 0;
    if (may) count++;
    else logits[id] = -Infinity;
  }
  return count;
}
