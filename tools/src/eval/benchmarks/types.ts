import type { Question } from '../question.ts';

export interface ScoredQuestion {
  readonly question: Question;
  readonly hit: boolean;
}

/** One line of a table of scores. */
export interface ScoreRow {
  readonly name: string;
  /** The column of the data it groups by; 'overall' for all. */
  readonly level: 'overall' | 'l2-category' | 'category';
  /** One per column of the table; null where no question belongs. */
  readonly values: readonly (number | null)[];
}

export interface ScoreTable {
  /** Splits, or the names of several metrics. */
  readonly columns: readonly string[];
  readonly rows: readonly ScoreRow[];
}

export interface BenchmarkScore {
  /** 0–100: the number that is reported for the data set. */
  readonly score: number;
  /** What that number is. */
  readonly metric: string;
  readonly table: ScoreTable;
}

/** A data set of VLMEvalKit: how it asks, what counts as right, and what is made of that. */
export interface Benchmark {
  readonly name: string;
  /** Splits in the file; of several, the first is the one reported. */
  readonly splits: readonly string[];
  /** The user's message without its pictures. */
  readonly prompt: (question: Question) => string;
  readonly isHit: (question: Question, prediction: string) => boolean;
  readonly summarize: (questions: readonly ScoredQuestion[]) => BenchmarkScore;
  /** Most tiles of one picture. */
  readonly maxTiles: number;
  /** The first picture is doubled in size before it is cut. */
  readonly doublesFirstPicture?: true;
  /** Questions that only count together; by default each stands for itself. */
  readonly unit?: (question: Question) => string;
  /** An answer that is right, to compute its probability. */
  readonly target: (question: Question) => string;
}
