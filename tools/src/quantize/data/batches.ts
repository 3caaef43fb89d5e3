import { createRandom } from '../../data/random.ts';
import { paddedLength, sampleRows } from './micro-batch.ts';
import type { MicroBatch, RowOptions } from './micro-batch.ts';
import { packConversations } from './packing.ts';
import type { Sample } from './samples.ts';

/** What an update is computed from. */
export interface Batch {
  readonly samples: readonly number[];
  /** The same conversations as they go through the model. */
  readonly microBatches: readonly MicroBatch[];
}

export interface BatchOptions extends RowOptions {
  /** Conversations of an update. */
  readonly batchSize: number;
  /** Sequences that go through the model at a time where they are not packed; default: the batch. */
  readonly microBatch?: number;
  /** Tokens of the sequences that conversations are packed into; 0: a sequence each, those of a batch of like length. */
  readonly packing?: number;
  readonly seed: number;
}

/** Which conversations each update sees: every one once an epoch, in an order that the seed alone decides. */
export class BatchOrder {
  private epoch = -1;
  private batches: readonly Batch[] = [];

  constructor(
    readonly perEpoch: number,
    private readonly order: (epoch: number) => readonly Batch[],
  ) {}

  /** `step` counts from 0 over all epochs. */
  at(step: number): Batch {
    const epoch = Math.floor(step / this.perEpoch);
    if (epoch !== this.epoch) {
      this.epoch = epoch;
      this.batches = this.order(epoch);
    }
    return this.batches[step % this.perEpoch];
  }
}

/** `among`: indexes of the samples that take part; default: all. */
export function orderBatches(
  samples: readonly Sample[],
  options: BatchOptions,
  among: readonly number[] = [...samples.keys()],
): BatchOrder {
  return options.packing ? packedOrder(samples, options, among) : groupedOrder(samples, options, among);
}

function packedOrder(
  samples: readonly Sample[],
  { packing = 0, batchSize, seed, unshifted }: BatchOptions,
  among: readonly number[],
): BatchOrder {
  return new BatchOrder(Math.ceil(among.length / batchSize), (epoch) =>
    cutBatches(createRandom(seed, epoch).shuffle([...among]), batchSize).map((chosen) => ({
      samples: chosen,
      microBatches: packConversations(samples, chosen, packing, { unshifted }),
    })),
  );
}

function groupedOrder(
  samples: readonly Sample[],
  options: BatchOptions,
  among: readonly number[],
): BatchOrder {
  const { batchSize, seed } = options;
  const buckets = groupSamples(samples, options, among);
  const perEpoch = buckets.reduce((sum, bucket) => sum + Math.ceil(bucket.samples.length / batchSize), 0);
  return new BatchOrder(perEpoch, (epoch) => {
    const batches = buckets.flatMap((bucket, index) =>
      cutBatches(createRandom(seed, epoch, index).shuffle(bucket.samples), batchSize).map((chosen) => ({
        samples: chosen,
        microBatches: cutMicroBatches(chosen, bucket, options),
      })),
    );
    return createRandom(seed, epoch, buckets.length).shuffle(batches);
  });
}

/** Conversations of like length and as many tiles, which share one compiled step. */
export interface Bucket {
  readonly samples: readonly number[];
  /** Tokens of the longest, rounded up. */
  readonly length: number;
  /** Tiles of the one that has most. */
  readonly tiles: number;
  /** Supervised rows that as many sequences as go through the model at a time have at most. */
  readonly answers: number;
}

/** Groups samples; groups smaller than a batch join the next larger one. */
export function groupSamples(
  samples: readonly Sample[],
  { batchSize, microBatch, unshifted }: Omit<BatchOptions, 'seed'>,
  among: readonly number[] = [...samples.keys()],
): Bucket[] {
  const groups = new Map<string, { indexes: number[]; length: number; tiles: number }>();
  for (const index of among) {
    const { ids, tiles } = samples[index];
    const length = paddedLength(ids.length);
    const key = `${tiles} ${length}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { indexes: [index], length, tiles });
    else group.indexes.push(index);
  }
  const sorted = [...groups.values()].sort((a, b) => a.tiles - b.tiles || a.length - b.length);
  const merged: typeof sorted = [];
  for (const group of sorted) {
    const last = merged.at(-1);
    const isLast = group === sorted.at(-1);
    if (
      last !== undefined &&
      (last.indexes.length < batchSize || (isLast && group.indexes.length < batchSize))
    ) {
      last.indexes.push(...group.indexes);
      last.length = Math.max(last.length, group.length);
      last.tiles = Math.max(last.tiles, group.tiles);
    } else merged.push({ ...group, indexes: [...group.indexes] });
  }
  return merged.map(({ indexes, length, tiles }) => {
    const rows = indexes
      .map((index) => sampleRows(samples[index], { unshifted }).count)
      .sort((a, b) => b - a);
    // A bucket smaller than a batch repeats its samples.
    let answers = 0;
    const together = Math.min(batchSize, microBatch ?? batchSize);
    for (let i = 0; i < together; i++) answers += rows[i % rows.length];
    return { samples: indexes.sort((a, b) => a - b), length, tiles, answers };
  });
}

/** The last batch is filled up from the start. */
function cutBatches(shuffled: readonly number[], batchSize: number): number[][] {
  return Array.from({ length: Math.ceil(shuffled.length / batchSize) }, (_, batch) =>
    Array.from({ length: batchSize }, (_, i) => shuffled[(batch * batchSize + i) % shuffled.length]),
  );
}

function cutMicroBatches(
  chosen: readonly number[],
  { length, tiles, answers }: Bucket,
  { microBatch = chosen.length }: BatchOptions,
): MicroBatch[] {
  return Array.from({ length: Math.ceil(chosen.length / microBatch) }, (_, part) => {
    const sequences = chosen.slice(part * microBatch, (part + 1) * microBatch).map((index) => [index]);
    return { sequences, length, tiles: sequences.length * tiles, answers };
  });
}
