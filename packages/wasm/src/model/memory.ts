import type { MemoryBudget, StoredTensorInfo } from '@speedq/kernels';
import { elementCount } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { padded } from '../weights/store.ts';
import { STRIDE_OFFSET } from './attention.ts';

/**
 * About what `WasmModel.create` will take: weights and cache to the page, work space by its largest parts.
 *
 * @param tensors what the model's shards hold
 * @param maxTiles tiles of a picture, thumbnail included, for `full`
 */
export function wasmMemoryBudget(
  { vision, language, tokensPerTile }: InternVLConfig,
  tensors: Iterable<StoredTensorInfo>,
  { maxContext, maxTiles }: { readonly maxContext: number; readonly maxTiles: number },
): MemoryBudget {
  let weights = 0;
  for (const tensor of tensors) weights += weightBytes(tensor);
  const { numLayers, numKeyValueHeads, headDim } = language;
  const headBytes =
    (headDim * (padded(maxContext) + STRIDE_OFFSET) + padded(maxContext) * padded(headDim)) * 4;
  const kvCache = numLayers * numKeyValueHeads * headBytes;
  const tokens = 1 + (vision.imageSize / vision.patchSize) ** 2;
  // States, normed states, q, k, v and context; the hidden rows twice; scores of 64 rows; a tile's pixels and patches.
  const rows = tokens * (6 * vision.hiddenSize + 2 * vision.intermediateSize) + 64 * tokens;
  const activations = (rows + 6 * vision.imageSize ** 2 + 64 * maxContext) * 4;
  const images = maxTiles * tokensPerTile * language.hiddenSize * 4;
  const sum = (...parts: number[]): number => parts.reduce((total, bytes) => total + bytes, 0);
  return {
    loaded: { weights, kvCache, images: 0, activations, total: sum(weights, kvCache, activations) },
    full: { weights, kvCache, images, activations, total: sum(weights, kvCache, images, activations) },
  };
}

/** Of one stored tensor, as `WeightStore` keeps it. */
function weightBytes({ part, scheme, shape, rows, rowOffset }: StoredTensorInfo): number {
  const columns = elementCount(shape.slice(1));
  if (part === 'codes' && scheme.kind !== 'float')
    return (Math.ceil(rows / 4) * 4 * columns * scheme.bits) / 8;
  if (scheme.kind === 'symmetric') return Math.ceil(rows / 4) * 4 * (columns / scheme.groupSize) * 4;
  if (scheme.kind === 'bilevel') return (rows + rows / 2) * (columns / scheme.groupSize);
  // Whole columns of a matrix are allocated with its first part.
  if (shape.length % 2 === 1) return rows * columns * 4;
  return rowOffset === 0 ? padded(shape[0]) * columns * 4 : 0;
}
