import type { Graph, Tensor } from './graph.ts';

/** A matrix as `com.microsoft.MatMulNBits` takes it: w = scale · (code − zero). */
export interface BlockWeights {
  readonly rows: number;
  readonly columns: number;
  readonly bits: 2 | 4;
  readonly blockSize: number;
  /** [rows, columns / blockSize, blockSize · bits / 8], the first code in the lowest bits. */
  readonly codes: Uint8Array;
  /** [rows · columns / blockSize] */
  readonly scales: Float32Array;
  /** [rows, ⌈columns / blockSize · bits / 8⌉] */
  readonly zeros: Uint8Array;
}

export type AccuracyLevel = 0 | 4;

/** x [rows…, columns] → [rows…, out]. `accuracyLevel` 4 lets activations be rounded to 8 bits. */
export function matMulNBits(
  g: Graph,
  x: Tensor,
  weight: { readonly codes: Tensor; readonly scales: Tensor; readonly zeros: Tensor },
  { rows, columns, bits, blockSize }: Pick<BlockWeights, 'rows' | 'columns' | 'bits' | 'blockSize'>,
  accuracyLevel: AccuracyLevel,
): Tensor {
  const { codes, scales, zeros } = weight;
  return g.node('MatMulNBits', [x, codes, scales, zeros], [...x.shape.slice(0, -1), rows], {
    domain: 'com.microsoft',
    attributes: { K: columns, N: rows, bits, block_size: blockSize, accuracy_level: accuracyLevel },
  });
}

/** The constants of a matrix, named after it. */
export function blockConstants(g: Graph, name: string, blocks: BlockWeights) {
  const { rows, columns, bits, blockSize, codes, scales, zeros } = blocks;
  const groups = columns / blockSize;
  return {
    codes: g.constant(codes, [rows, groups, (blockSize * bits) / 8], `${name}.codes`),
    scales: g.constant(scales, [rows * groups], `${name}.scales`),
    zeros: g.constant(zeros, [zeros.length], `${name}.zeros`),
  };
}
