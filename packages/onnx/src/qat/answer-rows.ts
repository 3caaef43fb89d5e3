import { SpeedqError } from '@speedq/format';

/** The label of a token that is not to be predicted. */
export const IGNORED = -100;

export interface AnswerRows {
  readonly selected: BigInt64Array;
  readonly targets: BigInt64Array;
  readonly weights: Float32Array;
  readonly kdWeights: Float32Array;
  /** Rows in use; the rest is padding with weights of 0. */
  readonly count: number;
}

export interface AnswerRowsOptions {
  readonly batch: number;
  readonly length: number;
  /** Size of the arrays; by default as many as there are. */
  readonly answers?: number;
  /**
   * As the reference implementation distils: the logits *at* answer tokens, which predict the token after,
   * summed over tokens and averaged over sequences. The default distils the logits that predict answer
   * tokens, and averages over them.
   */
  readonly reference?: boolean;
}

/**
 * Which rows of [batch · length] are supervised, from labels where `labels[t]` is token t or `IGNORED`.
 * Throws `invalid-data` where there are more than `answers`.
 */
export function answerRows(labels: ArrayLike<number>, options: AnswerRowsOptions): AnswerRows {
  const { batch, length, reference = false } = options;
  const rows: { row: number; target: number; predicts: boolean; distils: boolean }[] = [];
  for (let row = 0; row < batch * length; row++) {
    const target = row % length === length - 1 ? IGNORED : labels[row + 1];
    const predicts = target !== IGNORED;
    const distils = reference ? labels[row] !== IGNORED : predicts;
    if (predicts || distils) rows.push({ row, target: predicts ? target : 0, predicts, distils });
  }
  const answers = options.answers ?? rows.length;
  if (rows.length > answers) {
    throw new SpeedqError(
      'invalid-data',
      `The micro-batch has ${rows.length} supervised tokens but the step takes ${answers}. ` +
        'Create the step with more answers, or cut the conversations.',
    );
  }
  const share = 1 / Math.max(1, rows.filter(({ predicts }) => predicts).length);
  const result = {
    selected: new BigInt64Array(answers),
    targets: new BigInt64Array(answers),
    weights: new Float32Array(answers),
    kdWeights: new Float32Array(answers),
    count: rows.length,
  };
  rows.forEach(({ row, target, predicts, distils }, i) => {
    result.selected[i] = BigInt(row);
    result.targets[i] = BigInt(target);
    result.weights[i] = predicts ? share : 0;
    result.kdWeights[i] = distils ? (reference ? 1 / batch : share) : 0;
  });
  return result;
}
