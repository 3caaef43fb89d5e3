import { accumulateGram } from '@speedq/format';
import type { BilevelScheme } from '@speedq/format';

/** Gram matrices of the activations in front of each linear, gathered batch by batch. */
export class GramMatrices {
  private readonly matrices = new Map<string, Float64Array>();

  /** `of` is the linear's weight; activations [rows, columns]. */
  add(of: string, activations: Float32Array, columns: number, { groupSize }: BilevelScheme): void {
    let matrix = this.matrices.get(of);
    if (matrix === undefined) this.matrices.set(of, (matrix = new Float64Array(columns * groupSize)));
    accumulateGram(activations, activations.length / columns, columns, groupSize, matrix);
  }

  get(of: string): Float64Array {
    return this.matrices.get(of)!;
  }
}
