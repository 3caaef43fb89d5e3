import { bilevelLayout } from './schemes.ts';
import type { Scheme } from './schemes.ts';
import type { TensorDeclaration } from './safetensors.ts';
import type { PackedTensor } from './pack.ts';

/** How a tensor appears in a shard (docs/format.md, "Stored tensors"). */

export type StoredKind = 'codes' | 'meta' | 'scales' | 'data';

export interface StoredTensor extends TensorDeclaration {
  readonly kind: StoredKind;
}

/**
 * The safetensors entries of `rows` rows of a tensor: all of it (part undefined) or its part number `part`.
 */
export function storedTensors(
  name: string,
  scheme: Scheme,
  shape: readonly number[],
  part?: number,
  rows: number = shape[0],
): StoredTensor[] {
  const suffix = part === undefined ? '' : `.part${part}`;
  if (scheme.kind === 'float') {
    const dtype = scheme.dtype === 'f16' ? 'F16' : 'F32';
    const stored = shape.length === 0 ? [] : [rows, ...shape.slice(1)];
    return [{ kind: 'data', name: `${name}${suffix}`, dtype, shape: stored }];
  }
  const columns = shape[1];
  if (scheme.kind === 'symmetric') {
    return [
      { kind: 'codes', name: `${name}.codes${suffix}`, dtype: 'U32', shape: [rows, columns / 8] },
      { kind: 'scales', name: `${name}.scales${suffix}`, dtype: 'F16', shape: [rows, columns / 32] },
    ];
  }
  const { groupSize, scaleGroupSize } = scheme;
  const { codeWords, metaWords } = bilevelLayout(scheme);
  const blocks = [rows / scaleGroupSize, columns / groupSize];
  return [
    {
      kind: 'codes',
      name: `${name}.codes${suffix}`,
      dtype: 'U32',
      shape: [...blocks, scaleGroupSize, codeWords],
    },
    { kind: 'meta', name: `${name}.meta${suffix}`, dtype: 'U32', shape: [...blocks, metaWords] },
  ];
}

/** The array a stored tensor comes from. */
export function storedArray(
  tensor: PackedTensor,
  kind: StoredKind,
): Uint32Array | Uint16Array | Float32Array {
  const array = (tensor as unknown as Record<StoredKind, Uint32Array | undefined>)[kind];
  if (array === undefined) throw new TypeError(`a ${tensor.scheme.kind} tensor has no ${kind}`);
  return array;
}
