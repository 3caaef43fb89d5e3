import { SpeedqError } from '@speedq/format';
import { askAll } from './ask.ts';
import type { Answered, AskOptions } from './ask.ts';
import type { Benchmark, BenchmarkScore } from './benchmarks/index.ts';
import { summarizeComparison } from './comparison.ts';
import type { ComparisonSummary } from './comparison.ts';
import { doubleSize } from './pictures.ts';
import type { Question } from './question.ts';

export interface BenchmarkOptions extends Pick<
  AskOptions,
  'rows' | 'model' | 'reference' | 'pictures' | 'seed' | 'maxNewTokens' | 'batch' | 'log' | 'signal'
> {
  readonly benchmark: Benchmark;
  readonly onProgress?: (done: number, hits: number) => void;
}

/** A question of a benchmark with what the model said. */
export interface BenchmarkAnswer extends Answered {
  readonly split?: string;
  readonly category?: string;
  readonly subcategory?: string;
  readonly answer: string;
  readonly hit: boolean;
}

export interface BenchmarkEvaluation extends BenchmarkScore {
  readonly dataset: string;
  /** Questions, every rotation counted. */
  readonly count: number;
  /** `score` as a share, 0–1. */
  readonly accuracy: number;
  readonly reference?: ComparisonSummary;
  readonly seconds: number;
  /** In the order of the rows. */
  readonly answers: readonly BenchmarkAnswer[];
}

/** VLMEvalKit's bound on the tiles of all pictures of a question. */
const MOST_TILES = 64;

/**
 * Asks and scores a data set as VLMEvalKit does (docs/evaluation.md).
 * @throws {SpeedqError} `invalid-data`, `invalid-argument`, `invalid-image`, `context-exceeded`; the signal's reason.
 */
export async function evaluateBenchmark(options: BenchmarkOptions): Promise<BenchmarkEvaluation> {
  const { benchmark, rows, reference, onProgress, ...rest } = options;
  checkAnswers(benchmark, rows);
  const begin = performance.now();
  let done = 0;
  let hits = 0;
  const asked = await askAll({
    ...rest,
    rows,
    reference,
    promptOf: benchmark.prompt,
    targetOf: reference === undefined ? () => undefined : benchmark.target,
    prepare: benchmark.doublesFirstPicture
      ? (images) => images.map((image, i) => (i === 0 ? doubleSize(image) : image))
      : undefined,
    maxTiles: (pictures) => Math.max(1, Math.min(benchmark.maxTiles, Math.floor(MOST_TILES / pictures))),
    onAnswer(row, { prediction }) {
      if (benchmark.isHit(row, prediction)) hits++;
      onProgress?.(++done, hits);
    },
  });
  const scored = rows.map((question) => {
    const answered = asked.get(question.index)!;
    return { question, answered, hit: benchmark.isHit(question, answered.prediction) };
  });
  const compared = scored.flatMap(({ answered }) => answered.comparison ?? []);
  const score = benchmark.summarize(scored);
  return {
    dataset: benchmark.name,
    count: rows.length,
    accuracy: score.score / 100,
    ...score,
    ...(compared.length === 0 ? {} : { reference: summarizeComparison(compared) }),
    seconds: (performance.now() - begin) / 1000,
    answers: scored.map(({ question, answered, hit }) => {
      const { split, category, subcategory, answer } = question;
      return { ...answered, split, category, subcategory, answer, hit };
    }),
  };
}

function checkAnswers({ name, target }: Benchmark, rows: readonly Question[]): void {
  if (rows.length === 0)
    throw new SpeedqError('invalid-data', `The data of ${name} has no question with a picture.`);
  for (const row of rows) {
    if (target(row) !== '') continue;
    throw new SpeedqError(
      'invalid-data',
      `Row ${row.index} of ${name} has no answer: there is nothing to compare with. Use a split whose answers are public.`,
    );
  }
}
