import { answerRows, attentionMask, placeFeatures } from '@speedq/onnx';
import type { AnswerRows, LanguageInputs } from '@speedq/onnx';
import type { InternVLConfig } from '@speedq/model';
import type { Sample } from './samples.ts';

/** Conversations that go through the model at a time, in sequences of one length. */
export interface MicroBatch {
  /** Indexes of each sequence's conversations, one behind the other. */
  readonly sequences: readonly (readonly number[])[];
  /** Tokens of a sequence, padding included. */
  readonly length: number;
  /** Tiles of all pictures, padding included. */
  readonly tiles: number;
  /** Supervised rows, padding included. */
  readonly answers: number;
}

/** How rows are chosen for distillation; see answerRows. */
export interface RowOptions {
  /** Distil at answer tokens instead of in front of them. */
  readonly unshifted?: boolean;
}

/** A compiled step costs seconds: lengths are rounded up coarsely enough to need few. */
export function paddedLength(tokens: number): number {
  const unit = tokens <= 128 ? 32 : tokens <= 1024 ? 128 : 512;
  return Math.ceil(tokens / unit) * unit;
}

/** The supervised rows of one conversation by itself. */
export function sampleRows({ labels }: Sample, { unshifted }: RowOptions = {}): AnswerRows {
  return answerRows(labels, { batch: 1, length: labels.length, reference: unshifted });
}

/**
 * Inputs of the language side, without the vision features: sequences of conversations, padded to `length`. Each
 * conversation has its own positions and sees itself alone. `tiles`: of all pictures; those of one conversation
 * follow those of the one before it.
 */
export function languageInputs(
  config: InternVLConfig,
  sequences: readonly (readonly Sample[])[],
  { length, tiles }: Pick<MicroBatch, 'length' | 'tiles'>,
): Omit<LanguageInputs, 'visionFeatures'> {
  const rows = sequences.length * length;
  const inputIds = new BigInt64Array(rows);
  const positions = new Int32Array(rows);
  const segments = new Int32Array(rows).fill(-1);
  const imageIndex = tiles > 0 ? new BigInt64Array(rows) : undefined;
  const imageMask = tiles > 0 ? new Float32Array(rows) : undefined;
  const { tokensPerTile, imageTokenId } = config;
  let features = 0;
  for (const { sample, start, place } of placed(sequences, length)) {
    sample.ids.forEach((id, t) => {
      inputIds[start + t] = BigInt(id);
      positions[start + t] = t;
      // Segment 0 would be seen by those behind it.
      segments[start + t] = place + 1;
    });
    if (imageIndex === undefined || imageMask === undefined) continue;
    const { index, mask, count } = placeFeatures(sample.ids, imageTokenId, sample.tiles * tokensPerTile);
    index.forEach((row, t) => {
      imageIndex[start + t] = mask[t] === 1 ? row + BigInt(features) : 0n;
    });
    imageMask.set(mask, start);
    features += count;
  }
  return {
    inputIds,
    positions,
    mask: attentionMask(segments, sequences.length, length),
    imageIndex,
    imageMask,
  };
}

/** The supervised rows of sequences: their conversations' own, one after the other. */
export function supervisedRows(
  sequences: readonly (readonly Sample[])[],
  { length, answers }: Pick<MicroBatch, 'length' | 'answers'>,
  options: RowOptions,
): AnswerRows {
  const all = {
    selected: new BigInt64Array(answers),
    targets: new BigInt64Array(answers),
    weights: new Float32Array(answers),
    kdWeights: new Float32Array(answers),
  };
  let count = 0;
  for (const { sample, start } of placed(sequences, length)) {
    const rows = sampleRows(sample, options);
    all.selected.set(
      rows.selected.map((row) => row + BigInt(start)),
      count,
    );
    all.targets.set(rows.targets, count);
    all.weights.set(rows.weights, count);
    all.kdWeights.set(rows.kdWeights, count);
    count += rows.count;
  }
  return { ...all, count };
}

/** Conversations with the row where each begins and how many are in front of it in its sequence. */
function* placed(sequences: readonly (readonly Sample[])[], length: number) {
  for (const [slot, conversations] of sequences.entries()) {
    let start = slot * length;
    for (const [place, sample] of conversations.entries()) {
      yield { sample, start, place };
      start += sample.ids.length;
    }
  }
}
