import type { Answer } from './answer.ts';
import { argmax } from './engine.ts';
import { klDivergence, logProbabilities } from './statistics.ts';

/** Sum of −log p over the tokens of a right answer, in nats. */
export interface ForcedLoss {
  readonly loss: number;
  readonly tokens: number;
}

/** A model beside the float one at one question. */
export interface Comparison {
  /** Tokens of the right answer, stop token included. */
  readonly tokens: number;
  /** Sums over them of KL(float ‖ model) and of −log p under each, in nats. */
  readonly kl: number;
  readonly loss: number;
  readonly referenceLoss: number;
  /** Tokens at which both models' most probable next token is the same. */
  readonly sameTop: number;
  /** The greedy answers are the same, token by token. */
  readonly sameAnswer: boolean;
}

export interface ComparisonSummary {
  /** Mean KL(float ‖ model) per token of the right answers, in nats. */
  readonly kl: number;
  readonly perplexity: number;
  readonly referencePerplexity: number;
  /** Shares of tokens and of answers. */
  readonly topAgreement: number;
  readonly answerAgreement: number;
  readonly answerTokens: number;
}

/** logits [target.length, vocabSize] */
export function forcedLoss(logits: Float32Array, target: readonly number[], vocabSize: number): ForcedLoss {
  let loss = 0;
  target.forEach((token, i) => (loss -= logProbabilities(logits, i * vocabSize, vocabSize)[token]));
  return { loss, tokens: target.length };
}

/** Both answers must have been computed with `forced`. */
export function compareAnswers(
  reference: Answer,
  model: Answer,
  target: readonly number[],
  vocabSize: number,
): Comparison {
  let kl = 0;
  let loss = 0;
  let referenceLoss = 0;
  let sameTop = 0;
  target.forEach((token, i) => {
    const p = logProbabilities(reference.forced!, i * vocabSize, vocabSize);
    const q = logProbabilities(model.forced!, i * vocabSize, vocabSize);
    kl += klDivergence(p, q);
    loss -= q[token];
    referenceLoss -= p[token];
    if (argmax(p) === argmax(q)) sameTop++;
  });
  const sameAnswer =
    reference.ids.length === model.ids.length && reference.ids.every((id, i) => id === model.ids[i]);
  return { tokens: target.length, kl, loss, referenceLoss, sameTop, sameAnswer };
}

export function summarizeComparison(rows: readonly Comparison[]): ComparisonSummary {
  const sum = (value: (row: Comparison) => number) => rows.reduce((total, row) => total + value(row), 0);
  const tokens = sum((row) => row.tokens);
  return {
    kl: sum(({ kl }) => kl) / tokens,
    perplexity: Math.exp(sum(({ loss }) => loss) / tokens),
    referencePerplexity: Math.exp(sum(({ referenceLoss }) => referenceLoss) / tokens),
    topAgreement: sum(({ sameTop }) => sameTop) / tokens,
    answerAgreement: sum(({ sameAnswer }) => Number(sameAnswer)) / rows.length,
    answerTokens: tokens,
  };
}
