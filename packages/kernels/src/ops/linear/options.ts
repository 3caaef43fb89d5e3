import type { Scheme } from '@speedq/format';
import type { Rows } from '../../engine/recorder.ts';
import type { EpilogueOptions } from './epilogue.ts';

/** y[:, offset … offset+partRows] = epilogue(x · Wᵀ) for rows offset… of W [features, columns]. */
export interface LinearOptions {
  readonly scheme: Scheme;
  /** Rows of x and y. */
  readonly rows: Rows;
  readonly columns: number;
  readonly features: number;
  readonly part: { readonly offset: number; readonly rows: number };
  readonly epilogue: EpilogueOptions;
}
