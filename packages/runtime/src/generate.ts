import { SpeedqError } from '@speedq/format';
import { applyConstraint } from './constraint/token-constraint.ts';
import type { TokenConstraint } from './constraint/token-constraint.ts';
import { tokenLogProbs } from './log-probs.ts';
import type { TokenLogProbs } from './log-probs.ts';
import { argmax, isGreedy, penalizeRepetition, sampleToken } from './sample.ts';
import type { Sampling } from './sample.ts';

/** What the loop needs of a model; `WebGPUModel` of @speedq/kernels is one, tests bring others. */
export interface GenerationModel<F> {
  /** Tokens in the KV cache. */
  readonly length: number;
  readonly maxContext: number;
  /** Appends ids to the cache; `images` fill its image placeholders in order. Resolves to the greedy next id. */
  prefill(ids: Uint32Array, images: readonly F[], signal?: AbortSignal): Promise<number>;
  /** Feeds the last greedy id and those that follow it: `count` further greedy ids. */
  decode(count: number, signal?: AbortSignal): Promise<Uint32Array>;
  /** Logits [vocabSize] after the last token in the cache. */
  readLogits(): Promise<Float32Array>;
  /** Forgets everything past the first `length` tokens of the cache. */
  truncate(length: number): void;
}

export interface GenerateOptions {
  /** At most this many tokens, the stop token not counted. Default 1024; the context's end stops too. */
  readonly maxNewTokens?: number;
  readonly stopTokens: ReadonlySet<number>;
  /** Absent: greedy. */
  readonly sampling?: Sampling;
  /** What a repetition penalty looks at besides the answer: the whole prompt. Default: `ids`. */
  readonly history?: Iterable<number>;
  readonly constraint?: TokenConstraint;
  /** Called before each token is yielded. */
  readonly logProbs?: { readonly count: number; readonly onToken: (token: TokenLogProbs) => void };
  readonly signal?: AbortSignal;
}

/** 'stop': the model or a constraint ended the answer; 'length': `maxNewTokens` or the context did. */
export type FinishReason = 'stop' | 'length';

export const DEFAULT_MAX_NEW_TOKENS = 1024;

/** Greedy ids are read back in bursts about this long: often enough to look live, rarely enough to be cheap. */
const BURST_MILLISECONDS = 25;
const LONGEST_BURST = 16;

/**
 * Yields answer ids until a stop token (not yielded), `maxNewTokens` or the end of the context. The
 * model's cache must hold what precedes `ids`. Afterwards, also when the caller stops early or aborts,
 * the cache holds `ids` and the yielded tokens, except that the last yielded one may be missing.
 * Nothing is yielded after an abort.
 *
 * @throws {SpeedqError} `context-exceeded` when `ids` leave no room for an answer; `unsupported` when a
 * constraint leaves no token.
 * @throws the signal's reason when aborted.
 */
export async function* generate<F>(
  model: GenerationModel<F>,
  ids: Uint32Array,
  images: readonly F[],
  options: GenerateOptions,
): AsyncGenerator<number, FinishReason, void> {
  const {
    maxNewTokens = DEFAULT_MAX_NEW_TOKENS,
    stopTokens,
    sampling,
    constraint,
    logProbs,
    signal,
  } = options;
  signal?.throwIfAborted();
  const start = model.length + ids.length;
  if (start >= model.maxContext) throw contextExceeded(start, model.maxContext);
  const limit = Math.min(maxNewTokens, model.maxContext - start);
  const onGPU = isGreedy(sampling) && constraint === undefined && logProbs === undefined;
  let yielded = 0;
  try {
    const greedy = await model.prefill(ids, images, signal);
    const tokens = onGPU
      ? greedyTokens(model, greedy, limit, signal)
      : chosenTokens(model, { ...options, history: options.history ?? ids });
    for await (const token of tokens) {
      if (stopTokens.has(token)) return 'stop';
      if (yielded === limit) return 'length';
      signal?.throwIfAborted();
      yielded++;
      yield token;
      if (yielded === limit) return 'length';
    }
    return 'length';
  } finally {
    // A burst may have run past the last token that was wanted.
    if (model.length > start + yielded) model.truncate(start + yielded);
  }
}

async function* greedyTokens<F>(
  model: GenerationModel<F>,
  first: number,
  limit: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<number, void, void> {
  yield first;
  let burst = 1;
  for (let count = 1; count < limit;) {
    signal?.throwIfAborted();
    const wanted = Math.min(burst, limit - count);
    const before = performance.now();
    const tokens = await model.decode(wanted, signal);
    burst = nextBurst(wanted, (performance.now() - before) / wanted);
    yield* tokens;
    count += wanted;
  }
}

/** Grows at most twofold, so that one fast measurement does not make a long silent burst. */
function nextBurst(burst: number, millisecondsPerToken: number): number {
  const wanted = Math.floor(BURST_MILLISECONDS / Math.max(millisecondsPerToken, 0.1));
  return Math.max(1, Math.min(wanted, burst * 2, LONGEST_BURST));
}

/** Tokens that the CPU chooses from the logits. */
async function* chosenTokens<F>(
  model: GenerationModel<F>,
  { sampling, constraint, logProbs, history = [], stopTokens, signal }: GenerateOptions,
): AsyncGenerator<number, void, void> {
  const penalty = sampling?.repetitionPenalty ?? 1;
  const seen = new Set(penalty === 1 ? [] : history);
  for (;;) {
    signal?.throwIfAborted();
    const logits = await model.readLogits();
    // Engines may hand out the array they keep.
    const scores = logits.slice();
    if (penalty !== 1) penalizeRepetition(scores, seen, penalty);
    if (constraint && applyConstraint(scores, constraint, stopTokens) === 0) throw deadEnd();
    const token = sampling ? sampleToken(scores, sampling) : argmax(scores);
    if (!stopTokens.has(token)) {
      logProbs?.onToken(tokenLogProbs(logits, token, logProbs.count));
      constraint?.accept(token);
      if (penalty !== 1) seen.add(token);
    }
    yield token;
    if (model.length >= model.maxContext) return;
    await model.prefill(Uint32Array.of(token), [], signal);
  }
}

export function contextExceeded(tokens: number, maxContext: number): SpeedqError {
  return new SpeedqError(
    'context-exceeded',
    `The conversation is ${tokens} tokens long, and this model was opened with room for ${maxContext} ` +
      `including the answer. Start a new conversation, shorten the text or use fewer or smaller pictures.`,
    { details: { requested: tokens, quota: maxContext } },
  );
}

function deadEnd(): SpeedqError {
  return new SpeedqError(
    'unsupported',
    "The constraint leaves no token of this model's vocabulary that could come next. Loosen the constraint.",
  );
}
