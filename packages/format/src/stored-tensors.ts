import { bilevelLayout, panelMetaWords } from './schemes.ts';
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
  const codes = { kind: 'codes', name: `${name}.codes${suffix}`, dtype: 'U32' } as const;
  if (scheme.kind === 'symmetric') {
    const { bits, groupSize } = scheme;
    const scales = { kind: 'scales', name: `${name}.scales${suffix}`, dtype: 'F16' } as const;
    return [
      { ...codes, shape: [rows, (columns * bits) / 32] },
      { ...scales, shape: [rows, columns / groupSize] },
    ];
  }
  const { groupSize, scaleGroupSize } = scheme;
  const { codeWords, highBits, metaWords, zeroHighBits } = bilevelLayout(scheme);
  const panels = rows / scaleGroupSize;
  const groups = columns / groupSize;
  const block = highBits > 0 ? [codeWords] : [scaleGroupSize, codeWords / scaleGroupSize];
  const panel = zeroHighBits > 0 ? [panelMetaWords(scheme, groups)] : [groups, metaWords];
  return [
    { ...codes, shape: [panels, groups, ...block] },
    { kind: 'meta', name: `${name}.meta${suffix}`, dtype: 'U32', shape: [panels, ...panel] },
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
