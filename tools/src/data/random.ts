/** Seeded random choices: the same seed parts give the same sequence on every platform. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [0, n). */
  int(n: number): number;
  /** Uniform in [low, high). */
  range(low: number, high: number): number;
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T;
  /** A shuffled copy. */
  shuffle<T>(items: readonly T[]): T[];
  /** A key drawn in proportion to its weight; undefined when no weight is positive. */
  weighted<K extends string>(weights: Readonly<Partial<Record<K, number>>>): K | undefined;
}

/** 32-bit finaliser (murmur3's): spreads every input bit over the output. */
function mix32(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** sfc32 seeded by integers, e.g. (seed, index, attempt). Integers up to 2^53 are told apart. */
export function createRandom(...parts: readonly number[]): Random {
  let hash = 0x9e3779b9;
  for (const part of parts) {
    hash = mix32(hash ^ (part >>> 0));
    hash = mix32(Math.imul(hash, 31) + Math.floor(part / 0x100000000));
  }
  let a = mix32(hash ^ 0x243f6a88);
  let b = mix32(hash ^ 0x85a308d3);
  let c = mix32(hash ^ 0x13198a2e);
  let counter = 1;

  function next(): number {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return (sum >>> 0) / 0x100000000;
  }
  // sfc32 needs a few rounds before nearby seeds have parted.
  for (let round = 0; round < 12; round++) next();

  const int = (n: number): number => Math.floor(next() * n);
  return {
    next,
    int,
    range: (low, high) => low + (high - low) * next(),
    chance: (probability) => next() < probability,
    pick: (items) => items[int(items.length)],
    shuffle(items) {
      const copy = [...items];
      for (let i = copy.length - 1; i > 0; i--) {
        const j = int(i + 1);
        [copy[i], copy[j]] = [copy[j], copy[i]];
      }
      return copy;
    },
    weighted(weights) {
      const entries = Object.entries(weights) as [keyof typeof weights, number][];
      let total = 0;
      for (const [, weight] of entries) total += Math.max(0, weight);
      if (total <= 0) return undefined;
      let at = next() * total;
      for (const [key, weight] of entries) {
        if (weight <= 0) continue;
        at -= weight;
        if (at < 0) return key;
      }
      return entries.findLast(([, weight]) => weight > 0)?.[0];
    },
  };
}

/** 53-bit hash of a string (cyrb53): the identity of a scene's content. */
export function hashText(text: string): number {
  let h1 = 0xdeadbeef;
  let h2 = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    h1 = Math.imul(h1 ^ code, 2654435761);
    h2 = Math.imul(h2 ^ code, 1597334677);
  }
  h1 = Math.imul(h1 ^ (h1 >>> 16), 2246822507) ^ Math.imul(h2 ^ (h2 >>> 13), 3266489909);
  h2 = Math.imul(h2 ^ (h2 >>> 16), 2246822507) ^ Math.imul(h1 ^ (h1 >>> 13), 3266489909);
  return 4294967296 * (2097151 & h2) + (h1 >>> 0);
}
