import { IGNORED, answerRows, attentionMask, placeFeatures } from '@speedq/onnx';
import type { AnswerRows, LanguageInputs } from '@speedq/onnx';
import type { InternVLConfig } from '@speedq/model';
import { createRandom } from '../../data/random.ts';
import type { Sample } from './samples.ts';

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

export interface Batch {
  readonly bucket: Bucket;
  readonly samples: readonly number[];
}

/** How rows are chosen for distillation; see answerRows. */
export interface RowOptions {
  /** Distil at answer tokens instead of in front of them. */
  readonly unshifted?: boolean;
  /** Sequences that go through the model at a time; default: the batch. */
  readonly microBatch?: number;
}

/** A compiled step costs seconds: lengths are rounded up coarsely enough to need few. */
export function paddedLength(tokens: number): number {
  const unit = tokens <= 128 ? 32 : tokens <= 1024 ? 128 : 512;
  return Math.ceil(tokens / unit) * unit;
}

/** Groups samples; groups smaller than a batch join the next larger one. */
export function groupSamples(
  samples: readonly Sample[],
  batchSize: number,
  options: RowOptions = {},
): Bucket[] {
  const groups = new Map<string, { indexes: number[]; length: number; tiles: number }>();
  samples.forEach(({ ids, tiles }, index) => {
    const length = paddedLength(ids.length);
    const key = `${tiles} ${length}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { indexes: [index], length, tiles });
    else group.indexes.push(index);
  });
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
    const rows = indexes.map((index) => sampleRows(samples[index], options).count).sort((a, b) => b - a);
    // A bucket smaller than a batch repeats its samples.
    let answers = 0;
    const together = Math.min(batchSize, options.microBatch ?? batchSize);
    for (let i = 0; i < together; i++) answers += rows[i % rows.length];
    return { samples: indexes.sort((a, b) => a - b), length, tiles, answers };
  });
}

/** The supervised rows of one conversation by itself. */
export function sampleRows({ labels }: Sample, { unshifted }: RowOptions = {}): AnswerRows {
  return answerRows(labels, { batch: 1, length: labels.length, reference: unshifted });
}

/** Which conversations each update sees: every one once an epoch, in an order that the seed alone decides. */
export class BatchOrder {
  private epoch = -1;
  private batches: Batch[] = [];

  constructor(
    private readonly buckets: readonly Bucket[],
    private readonly batchSize: number,
    private readonly seed: number,
  ) {}

  get perEpoch(): number {
    return this.buckets.reduce((sum, { samples }) => sum + Math.ceil(samples.length / this.batchSize), 0);
  }

  /** `step` counts from 0 over all epochs. */
  at(step: number): Batch {
    const epoch = Math.floor(step / this.perEpoch);
    if (epoch !== this.epoch) {
      this.epoch = epoch;
      this.batches = this.order(epoch);
    }
    return this.batches[step % this.perEpoch];
  }

  private order(epoch: number): Batch[] {
    const batches = this.buckets.flatMap((bucket, index) => {
      const shuffled = createRandom(this.seed, epoch, index).shuffle(bucket.samples);
      return Array.from({ length: Math.ceil(shuffled.length / this.batchSize) }, (_, i): Batch => {
        const first = i * this.batchSize;
        // The last batch is filled up from the start.
        const samples = Array.from(
          { length: this.batchSize },
          (_, j) => shuffled[(first + j) % shuffled.length],
        );
        return { bucket, samples };
      });
    });
    return createRandom(this.seed, epoch, this.buckets.length).shuffle(batches);
  }
}

/** Inputs of the language side for samples padded to `length`, `tiles` each, without the vision features. */
export function languageInputs(
  config: InternVLConfig,
  samples: readonly Sample[],
  { length, tiles }: { readonly length: number; readonly tiles: number },
): Omit<LanguageInputs, 'visionFeatures'> {
  const rows = samples.length * length;
  const inputIds = new BigInt64Array(rows);
  const positions = new Int32Array(rows);
  const segments = new Int32Array(rows).fill(-1);
  const imageIndex = tiles > 0 ? new BigInt64Array(rows) : undefined;
  const imageMask = tiles > 0 ? new Float32Array(rows) : undefined;
  const { tokensPerTile, imageTokenId } = config;
  samples.forEach(({ ids, tiles: own }, slot) => {
    const base = slot * length;
    ids.forEach((id, t) => {
      inputIds[base + t] = BigInt(id);
      positions[base + t] = t;
      segments[base + t] = 0;
    });
    if (imageIndex === undefined || imageMask === undefined) return;
    const placed = placeFeatures(ids, imageTokenId, own * tokensPerTile);
    const offset = BigInt(slot * tiles * tokensPerTile);
    placed.index.forEach((row, t) => {
      imageIndex[base + t] = placed.mask[t] === 1 ? row + offset : 0n;
    });
    imageMask.set(placed.mask, base);
  });
  return {
    inputIds,
    positions,
    mask: attentionMask(segments, samples.length, length),
    imageIndex,
    imageMask,
  };
}

/** Labels of samples padded to `length`. */
export function batchLabels(samples: readonly Sample[], length: number): Int32Array {
  const labels = new Int32Array(samples.length * length).fill(IGNORED);
  samples.forEach((sample, slot) => labels.set(sample.labels, slot * length));
  return labels;
}
