import type { Scheme } from '@speedq/format';
import type { Rows } from '../../engine/recorder.ts';
import type { EpilogueOptions } from './epilogue.ts';

/** Features offset…offset+rows of y = epilogue(x · Wᵀ), from rows of a stored matrix […, columns]. */
export interface LinearOptions {
  readonly scheme: Scheme;
  /** Rows of x and y. */
  readonly rows: Rows;
  readonly columns: number;
  /** Width of y. */
  readonly features: number;
  readonly part: {
    readonly offset: number;
    readonly rows: number;
    /** Row of the buffer that the part begins at, a multiple of 4. */
    readonly first: number;
    readonly bufferRows: number;
  };
  readonly epilogue: EpilogueOptions;
}

/** What only the program of a single row does. */
export interface MatvecOptions extends LinearOptions {
  /** x is x/√(mean(x²)+epsilon)·norm_weight. */
  readonly norm?: { readonly epsilon: number };
  /** y = silu(x · Gᵀ) · (x · Wᵀ), G being the `rows` rows of the buffer before those of W. */
  readonly gated?: boolean;
  /** Writes the largest of each workgroup's features, and which it was, from this entry on. */
  readonly candidates?: { readonly offset: number };
}
