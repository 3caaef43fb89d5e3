import { paddedLength, sampleRows } from './micro-batch.ts';
import type { MicroBatch, RowOptions } from './micro-batch.ts';
import type { Sample } from './samples.ts';

/**
 * A batch's conversations in sequences of at most `limit` tokens, each a micro-batch: the longest first, each into the
 * first sequence that has room. One that is longer than `limit` has a sequence to itself.
 */
export function packConversations(
  samples: readonly Sample[],
  indexes: readonly number[],
  limit: number,
  options: RowOptions,
): MicroBatch[] {
  const lengthOf = (index: number) => samples[index].ids.length;
  const sequences: { readonly indexes: number[]; used: number }[] = [];
  for (const index of indexes.toSorted((a, b) => lengthOf(b) - lengthOf(a) || a - b)) {
    const length = lengthOf(index);
    const roomy = sequences.find(({ used }) => used + length <= limit);
    if (roomy === undefined) sequences.push({ indexes: [index], used: length });
    else {
      roomy.indexes.push(index);
      roomy.used += length;
    }
  }
  return sequences.map(({ indexes: packed, used }) => {
    const sum = (of: (sample: Sample) => number) =>
      packed.reduce((total, index) => total + of(samples[index]), 0);
    return {
      sequences: [packed],
      length: compiledLength(used, limit),
      tiles: compiledCount(sum(({ tiles }) => tiles)),
      answers: compiledCount(sum((sample) => sampleRows(sample, options).count)),
    };
  });
}

/** Few steps are compiled: for full sequences, and for what is left over at the end of a batch. */
function compiledLength(used: number, limit: number): number {
  return [limit / 4, limit / 2, limit].map(Math.ceil).find((length) => used <= length) ?? paddedLength(used);
}

/** The next number of three significant bits: at most a quarter more. */
function compiledCount(count: number): number {
  if (count === 0) return 0;
  const unit = 2 ** Math.max(0, Math.floor(Math.log2(count)) - 2);
  return Math.ceil(count / unit) * unit;
}
