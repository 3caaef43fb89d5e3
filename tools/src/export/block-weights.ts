import {
  isPackedBilevel,
  isPackedSymmetric,
  symmetricCentre,
  unpackBilevel,
  unpackSymmetric,
} from '@speedq/format';
import type { PackedTensor } from '@speedq/format';
import type { BlockWeights } from '@speedq/onnx';

/**
 * A packed matrix without its second level: scales become float32. `widen` puts 2-bit codes into 4-bit fields.
 * Undefined for a tensor that is stored as floats, or whose zero is no code.
 */
export function blockWeights(tensor: PackedTensor, widen: boolean): BlockWeights | undefined {
  if (isPackedBilevel(tensor) && tensor.scheme.zero === 'integer') {
    const { scheme, codes, scale, zero } = unpackBilevel(tensor);
    const [rows, columns] = tensor.shape;
    const bits = scheme.bits === 2 && !widen ? 2 : 4;
    return {
      rows,
      columns,
      bits,
      blockSize: scheme.groupSize,
      codes: packRows(codes, columns, bits),
      scales: scale,
      zeros: packRows(zero, columns / scheme.groupSize, bits),
    };
  }
  if (!isPackedSymmetric(tensor)) return undefined;
  const { scheme, rows, columns, codes, scale } = unpackSymmetric(tensor);
  const { groupSize } = scheme;
  const groups = columns / groupSize;
  // A centre between two codes is a code where there are twice as many.
  const centre = symmetricCentre(scheme);
  const doubled = !Number.isInteger(centre);
  return {
    rows,
    columns,
    bits: 4,
    blockSize: groupSize,
    codes: packRows(doubled ? codes.map((code) => 2 * code) : codes, columns, 4),
    scales: doubled ? scale.map((value) => value / 2) : scale,
    zeros: packRows(new Uint8Array(rows * groups).fill(doubled ? 2 * centre : centre), groups, 4),
  };
}

/** Each row begins in a byte of its own. */
function packRows(values: Uint8Array, columns: number, bits: 2 | 4): Uint8Array {
  const perByte = 8 / bits;
  const rowBytes = Math.ceil(columns / perByte);
  const packed = new Uint8Array((values.length / columns) * rowBytes);
  for (let i = 0; i < values.length; i++) {
    const column = i % columns;
    const row = (i - column) / columns;
    packed[row * rowBytes + Math.floor(column / perByte)] |= values[i] << ((column % perByte) * bits);
  }
  return packed;
}
