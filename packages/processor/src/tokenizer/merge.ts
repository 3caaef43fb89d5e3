/** Merge rules by pair of token ids. Rank is the position in the list: the lowest rank is merged first. */
export interface MergeTable {
  /** `left * stride + right` → rank. */
  readonly ranks: ReadonlyMap<number, number>;
  /** rank → id of the merged token. */
  readonly results: Int32Array;
  readonly stride: number;
}

/**
 * Applies the merges to one piece, lowest rank first, leftmost first among equals.
 * A heap of candidate pairs keeps a piece of n bytes at O(n log n): a pasted page without blanks is one piece.
 */
export function mergePiece(symbols: Int32Array, table: MergeTable): number[] {
  const n = symbols.length;
  if (n < 2) return [...symbols];
  const { ranks, results, stride } = table;
  const next = new Int32Array(n);
  const previous = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    next[i] = i + 1;
    previous[i] = i - 1;
  }
  // A key is rank * n + position; n - 1 pairs at first and two more per merge bound the heap's size.
  const heap = new Float64Array(3 * n);
  let size = 0;
  const push = (position: number): void => {
    const right = next[position];
    if (right >= n) return;
    const rank = ranks.get(symbols[position] * stride + symbols[right]);
    if (rank === undefined) return;
    const key = rank * n + position;
    let i = size++;
    for (; i > 0;) {
      const parent = (i - 1) >> 1;
      if (heap[parent] <= key) break;
      heap[i] = heap[parent];
      i = parent;
    }
    heap[i] = key;
  };
  /** -1 when the heap is empty. */
  const pop = (): number => {
    if (size === 0) return -1;
    const top = heap[0];
    const key = heap[--size];
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= size) break;
      if (child + 1 < size && heap[child + 1] < heap[child]) child++;
      if (heap[child] >= key) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = key;
    return top;
  };

  for (let i = 0; i < n - 1; i++) push(i);
  for (let key = pop(); key >= 0; key = pop()) {
    const position = key % n;
    const rank = (key - position) / n;
    const left = symbols[position];
    const rightPosition = next[position];
    // Stale candidates stay in the heap: the position was swallowed, or its pair is another one by now.
    if (left < 0 || rightPosition >= n) continue;
    if (ranks.get(left * stride + symbols[rightPosition]) !== rank) continue;
    symbols[position] = results[rank];
    symbols[rightPosition] = -1;
    next[position] = next[rightPosition];
    if (next[position] < n) previous[next[position]] = position;
    push(position);
    if (previous[position] >= 0) push(previous[position]);
  }
  const ids: number[] = [];
  for (let i = 0; i < n; i = next[i]) ids.push(symbols[i]);
  return ids;
}
