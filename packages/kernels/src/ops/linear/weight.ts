import type { Scheme } from '@speedq/format';

/** How a matrix W [rows, columns] is stored on the GPU (docs/format.md). */
export type MatrixScheme = Scheme;

/** Consecutive rows of a matrix in buffers of their own: whole tensors have one, split tensors several. */
export interface MatrixPart {
  readonly rowOffset: number;
  readonly rows: number;
  /** Packed codes, or the float values. */
  readonly codes: GPUBuffer;
  /** Bilevel records or symmetric scales. */
  readonly meta?: GPUBuffer;
}

export interface Matrix {
  readonly name: string;
  readonly scheme: MatrixScheme;
  readonly rows: number;
  readonly columns: number;
  readonly parts: readonly MatrixPart[];
}
