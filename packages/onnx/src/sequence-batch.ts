import { SpeedqError } from '@speedq/format';
import type { InternVLConfig } from '@speedq/model';
import type { LanguageSessions } from './language-sessions.ts';
import { placeFeatures } from './place-features.ts';
import { MASKED, rotaryTable } from './rotary.ts';
import type { Feed, Session } from './session.ts';

/** What one sequence gets in a step. */
export interface Addition {
  /** [] for a sequence that waits while the others go on. */
  readonly ids: ArrayLike<number>;
  /** Rows [placeholders, hiddenSize] for the image placeholders among `ids`, in order. */
  readonly features?: Float32Array;
  /** Logits are wanted after each of the last so many ids. */
  readonly logits: number;
}

/**
 * Sequences that are computed together, each of its own length. The KV cache has a row for each of them and a column
 * for each token of the longest addition of every step: shorter additions are padded in front. A sequence does not see
 * the columns that are padding to it, or that it has forgotten; its positions count those it sees.
 */
export class SequenceBatch {
  /** By layer, keys then values: [size, keyValueHeads, columns, headDim]. */
  private cache: Float32Array[];
  private columns = 0;
  /** Per sequence and column: 1 where it sees it. */
  private seen: Uint8Array[];

  constructor(
    private readonly language: LanguageSessions,
    size: number,
  ) {
    this.seen = Array.from({ length: size }, () => new Uint8Array(0));
    this.cache = Array.from({ length: 2 * this.config.numLayers }, () => new Float32Array(0));
  }

  get size(): number {
    return this.seen.length;
  }

  /** Tokens of a sequence. */
  length(sequence: number): number {
    let length = 0;
    for (const one of this.seen[sequence]) length += one;
    return length;
  }

  /**
   * Appends to each sequence and resolves to each one's logits [wanted, vocabulary].
   * @throws {SpeedqError} `context-exceeded`; `invalid-data`: placeholders and features that do not match.
   */
  async append(additions: readonly Addition[]): Promise<Float32Array[]> {
    const lengths = additions.map((_, i) => this.length(i));
    const limit = this.config.maxPositionEmbeddings;
    const longest = Math.max(...additions.map(({ ids }, i) => lengths[i] + ids.length));
    if (longest > limit) {
      throw new SpeedqError(
        'context-exceeded',
        `The conversation has ${longest} tokens; the model holds ${limit}. Shorten it.`,
      );
    }
    this.dropUnseen();
    const length = Math.max(...additions.map(({ ids }) => ids.length));
    const withImages = additions.some(({ features }) => features !== undefined);
    const session = await this.language.open(this.size, withImages);
    const step = { session, config: this.language.config, additions, length };
    const feeds = new Map([
      ...this.language.parameters,
      ...this.cacheFeeds(session),
      ...tokenFeeds(step, lengths),
      ['mask', this.mask(step)],
      ...(withImages ? imageFeeds(step) : []),
    ]);
    const results = await session.run(feeds);
    this.cache = this.cache.map((_, i) => results.get(cacheName('present', i))!.data as Float32Array);
    this.columns += length;
    this.seen = this.seen.map((seen, i) => {
      const longer = new Uint8Array(this.columns).fill(1, this.columns - additions[i].ids.length);
      longer.set(seen);
      return longer;
    });
    const logits = results.get('logits')!.data as Float32Array;
    let at = 0;
    return additions.map((one) => logits.subarray(at, (at += one.logits * this.config.vocabSize)));
  }

  /** Forgets the tokens of a sequence beyond its first `length`. */
  truncate(sequence: number, length: number): void {
    const seen = this.seen[sequence];
    let surplus = this.length(sequence) - length;
    for (let column = seen.length - 1; surplus > 0; column--) {
      surplus -= seen[column];
      seen[column] = 0;
    }
  }

  /** Goes on with these sequences, in this order; one that is named twice becomes two. */
  select(sequences: readonly number[]): void {
    this.rebuild(sequences, [[0, this.columns]]);
  }

  private get config(): InternVLConfig['language'] {
    return this.language.config.language;
  }

  /** Columns that no sequence sees would still be computed with. */
  private dropUnseen(): void {
    const kept: [start: number, end: number][] = [];
    for (let column = 0; column < this.columns; column++) {
      if (this.seen.every((seen) => seen[column] === 0)) continue;
      const last = kept.at(-1);
      if (last?.[1] === column) last[1]++;
      else kept.push([column, column + 1]);
    }
    const isWhole = this.columns === 0 || (kept.length === 1 && kept[0][1] - kept[0][0] === this.columns);
    if (!isWhole)
      this.rebuild(
        this.seen.map((_, i) => i),
        kept,
      );
  }

  /** Copies the rows of some sequences and the columns in some ranges. */
  private rebuild(
    sequences: readonly number[],
    ranges: readonly (readonly [start: number, end: number])[],
  ): void {
    const { headDim, numKeyValueHeads } = this.config;
    const columns = ranges.reduce((sum, [start, end]) => sum + end - start, 0);
    this.cache = this.cache.map((source) => {
      const target = new Float32Array(sequences.length * numKeyValueHeads * columns * headDim);
      let at = 0;
      for (const sequence of sequences) {
        for (let head = 0; head < numKeyValueHeads; head++) {
          const row = (sequence * numKeyValueHeads + head) * this.columns;
          for (const [start, end] of ranges) {
            target.set(source.subarray((row + start) * headDim, (row + end) * headDim), at);
            at += (end - start) * headDim;
          }
        }
      }
      return target;
    });
    this.seen = sequences.map((sequence) =>
      Uint8Array.from(ranges.flatMap(([start, end]) => [...this.seen[sequence].subarray(start, end)])),
    );
    this.columns = columns;
  }

  private cacheFeeds(session: Session): (readonly [string, Feed])[] {
    const { headDim, numKeyValueHeads } = this.config;
    const shape = [this.size, numKeyValueHeads, this.columns, headDim];
    return this.cache.map((values, i) => [cacheName('past', i), session.float(values, shape)]);
  }

  /** Added to scores, [size, 1, length, columns + length]. */
  private mask({ session, additions, length }: Step): Feed {
    const total = this.columns + length;
    const mask = new Float32Array(this.size * length * total).fill(MASKED);
    for (const [i, { ids }] of additions.entries()) {
      const padding = length - ids.length;
      const past = Float32Array.from(this.seen[i], (one) => (one === 1 ? 0 : MASKED));
      for (let t = padding; t < length; t++) {
        const row = (i * length + t) * total;
        mask.set(past, row);
        mask.fill(0, row + this.columns + padding, row + this.columns + t + 1);
      }
    }
    return session.float(mask, [this.size, 1, length, total]);
  }
}

interface Step {
  readonly session: Session;
  readonly config: InternVLConfig;
  readonly additions: readonly Addition[];
  /** Of the longest addition; the others are padded to it. */
  readonly length: number;
}

/** Ids, their rotation, and the rows whose logits are wanted; `lengths` are those of the sequences so far. */
function tokenFeeds(
  { session, config, additions, length }: Step,
  lengths: readonly number[],
): (readonly [string, Feed])[] {
  const { headDim, ropeTheta } = config.language;
  const rows = additions.length * length;
  const ids = new BigInt64Array(rows);
  const positions = new Float64Array(rows);
  const selected: bigint[] = [];
  for (const [i, addition] of additions.entries()) {
    const end = (i + 1) * length;
    const start = end - addition.ids.length;
    for (let t = start; t < end; t++) {
      ids[t] = BigInt(addition.ids[t - start]);
      positions[t] = lengths[i] + t - start;
    }
    for (let row = end - addition.logits; row < end; row++) selected.push(BigInt(row));
  }
  // A product without rows is none that every kernel knows.
  if (selected.length === 0) selected.push(0n);
  const { cos, sin } = rotaryTable(positions, headDim, ropeTheta);
  const rotation = [additions.length, length, 1, headDim / 2];
  return [
    ['input_ids', session.int(ids, [rows])],
    ['cos', session.float(cos, rotation)],
    ['sin', session.float(sin, rotation)],
    ['selected', session.int(BigInt64Array.from(selected), [selected.length])],
  ];
}

function imageFeeds({ session, config, additions, length }: Step): (readonly [string, Feed])[] {
  const { hiddenSize } = config.language;
  const rows = additions.length * length;
  const index = new BigInt64Array(rows);
  const mask = new Float32Array(rows);
  let count = 0;
  for (const [i, { ids, features }] of additions.entries()) {
    const placed = placeFeatures(ids, config.imageTokenId, (features?.length ?? 0) / hiddenSize);
    const start = (i + 1) * length - ids.length;
    for (let t = 0; t < ids.length; t++) {
      if (placed.mask[t] === 1) index[start + t] = placed.index[t] + BigInt(count);
    }
    mask.set(placed.mask, start);
    count += placed.count;
  }
  const features = new Float32Array(count * hiddenSize);
  let at = 0;
  for (const one of additions) {
    if (one.features === undefined) continue;
    features.set(one.features, at);
    at += one.features.length;
  }
  return [
    ['image_features', session.float(features, [count, hiddenSize])],
    ['image_index', session.int(index, [rows])],
    ['image_mask', session.float(mask, [rows, 1])],
  ];
}

function cacheName(when: 'past' | 'present', index: number): string {
  return `${when}.${index >> 1}.${index % 2 === 0 ? 'key' : 'value'}`;
}
