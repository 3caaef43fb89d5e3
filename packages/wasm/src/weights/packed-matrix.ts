import { symmetricCentre, unpackBilevel, unpackSymmetric } from '@speedq/format';
import type { BilevelScheme, PackedBilevel, PackedSymmetric, SymmetricScheme } from '@speedq/format';
import type { Heap } from '../heap.ts';

/**
 * A packed weight as the kernels read it. Codes have 2 or 4 bits, those of 3 bits widened. They stand in panels of 4
 * rows → groups of columns → vectors of 16 bytes; a vector holds 32/bits columns of the panel: row r has the halves
 * 2r (even columns) and 2r + 1 (odd ones) of its eight 16-bit lanes, first columns in the lowest bits.
 *
 * What decodes them, by kind:
 * - 'integer': a byte per panel, group and row, scale code + 16 · zero point; float32 step and minimum per block;
 *   w = (step · c + minimum) · (q − z)
 * - 'minimum': the same byte; w = step · c · q − minimum · z
 * - 'symmetric': a float32 scale per panel, group and row; w = s · (q − SYMMETRIC_ZERO). Codes whose centre lies
 *   between two are doubled, their scales halved.
 */
export interface PackedMatrix {
  readonly kind: 'integer' | 'minimum' | 'symmetric';
  readonly bits: 2 | 4;
  readonly rows: number;
  readonly columns: number;
  /** At most LARGEST_GROUP: wider groups are cut, their parts share what decodes them. */
  readonly groupSize: number;
  readonly codes: number;
  readonly scales: number;
  readonly blocks: number;
  /** Rows of a block as a power of two of panels: 8 or 16 rows. */
  readonly blockShift: 1 | 2;
}

export const SYMMETRIC_ZERO = 7;
const PANEL = 4;
/** Sums of this many products of 16-bit activations and 4-bit codes fit 32 bits. */
const LARGEST_GROUP = 128;

/** The largest part of a group that is whole vectors of any width. */
function groupPart(groupSize: number): number {
  if (groupSize <= LARGEST_GROUP) return groupSize;
  for (let part = LARGEST_GROUP; part > 16; part -= 16) if (groupSize % part === 0) return part;
  // Groups are multiples of 16 columns, at 4 bits of 8.
  return groupSize % 16 === 0 ? 16 : 8;
}

export function allocatePacked(
  heap: Heap,
  scheme: BilevelScheme | SymmetricScheme,
  rows: number,
  columns: number,
): PackedMatrix {
  const panels = Math.ceil(rows / PANEL);
  const groupSize = groupPart(scheme.groupSize);
  const groups = columns / groupSize;
  const kind = scheme.kind === 'bilevel' ? scheme.zero : 'symmetric';
  const bits = kind !== 'symmetric' && scheme.bits === 2 ? 2 : 4;
  const blockShift = scheme.kind === 'bilevel' && scheme.scaleGroupSize % 16 === 0 ? 2 : 1;
  const matrix: PackedMatrix = {
    kind,
    bits,
    rows,
    columns,
    groupSize,
    blockShift,
    codes: heap.allocate((panels * PANEL * columns * bits) / 8),
    scales: heap.allocate(panels * PANEL * groups * (kind === 'symmetric' ? 4 : 1)),
    blocks: kind === 'symmetric' ? 0 : heap.floats(Math.ceil(panels / 2 ** blockShift) * groups * 2),
  };
  if (rows % PANEL !== 0) {
    // The rows that fill up the last panel, of tables alone: scales of zero.
    const end = matrix.scales + panels * PANEL * groups * 4;
    heap.u8.fill(0, end - PANEL * groups * 4, end);
  }
  return matrix;
}

/** Puts rows of a bilevel weight in, in any scheme of the format. */
export function putBilevel(heap: Heap, matrix: PackedMatrix, rowOffset: number, packed: PackedBilevel): void {
  const { scheme, rows, codes, zero, scaleCode, step, minimum } = unpackBilevel(packed);
  const { u8, f32 } = heap;
  const { groupSize, columns, blockShift } = matrix;
  const groups = columns / groupSize;
  const wideGroups = columns / scheme.groupSize;
  const parts = groups / wideGroups;
  for (let row = 0; row < rows; row++) {
    const target = rowOffset + row;
    for (let group = 0; group < groups; group++) {
      const wide = Math.floor(group / parts);
      const index = row * wideGroups + wide;
      u8[matrix.scales + ((target >>> 2) * groups + group) * PANEL + (target & 3)] =
        scaleCode[index] | (zero[index] << 4);
      const at = (matrix.blocks >>> 2) + ((target >>> (2 + blockShift)) * groups + group) * 2;
      const block = Math.floor(row / scheme.scaleGroupSize) * wideGroups + wide;
      f32[at] = step[block];
      f32[at + 1] = minimum[block];
    }
  }
  putCodes(heap, matrix, rowOffset, codes);
}

/** Puts rows of a symmetric weight in. */
export function putSymmetric(
  heap: Heap,
  matrix: PackedMatrix,
  rowOffset: number,
  packed: PackedSymmetric,
): void {
  const { scheme, rows, codes, scale } = unpackSymmetric(packed);
  const { f32 } = heap;
  const { groupSize, columns } = matrix;
  const groups = columns / groupSize;
  const parts = scheme.groupSize / groupSize;
  const centre = symmetricCentre(scheme);
  const factor = Number.isInteger(centre) ? 1 : 2;
  for (let row = 0; row < rows; row++) {
    const target = rowOffset + row;
    for (let group = 0; group < groups; group++) {
      const at = (matrix.scales >>> 2) + ((target >>> 2) * groups + group) * PANEL + (target & 3);
      f32[at] = scale[row * (groups / parts) + Math.floor(group / parts)] / factor;
    }
  }
  const shift = SYMMETRIC_ZERO - centre * factor;
  if (factor > 1 || shift > 0) for (let i = 0; i < codes.length; i++) codes[i] = codes[i] * factor + shift;
  putCodes(heap, matrix, rowOffset, codes);
}

/** Codes [rows, columns], a byte each, into their vectors. */
function putCodes({ u32 }: Heap, matrix: PackedMatrix, rowOffset: number, codes: Uint8Array): void {
  const { columns, bits } = matrix;
  const perVector = 32 / bits;
  for (let i = 0, row = rowOffset; i < codes.length; row++) {
    let at = (matrix.codes >>> 2) + (row >>> 2) * (columns / perVector) * PANEL + (row & 3);
    for (let vector = 0; vector < columns; vector += perVector, at += PANEL) {
      let word = 0;
      for (let low = 0; low < 16; low += bits, i += 2) {
        word |= (codes[i] << low) | (codes[i + 1] << (low + 16));
      }
      u32[at] = word;
    }
  }
}

/** The float32 values of one row, as `unpackToFloat` gives them. */
export function readRow(heap: Heap, matrix: PackedMatrix, row: number, out: Float32Array): void {
  const { u32, u8, f32 } = heap;
  const { kind, bits, groupSize, columns, blockShift } = matrix;
  const groups = columns / groupSize;
  const words = (groupSize * bits) / 32;
  const mask = 2 ** bits - 1;
  let column = 0;
  for (let group = 0; group < groups; group++) {
    const cell = ((row >>> 2) * groups + group) * PANEL + (row & 3);
    let scale: number;
    let zero = SYMMETRIC_ZERO;
    let offset = 0;
    if (kind === 'symmetric') {
      scale = f32[(matrix.scales >>> 2) + cell];
    } else {
      const byte = u8[matrix.scales + cell];
      const block = (matrix.blocks >>> 2) + ((row >>> (2 + blockShift)) * groups + group) * 2;
      const [step, minimum] = [f32[block], f32[block + 1]];
      scale = step * (byte & 15);
      zero = byte >>> 4;
      if (kind === 'integer') {
        scale = Math.fround(scale + minimum);
      } else {
        offset = minimum * zero;
        zero = 0;
      }
    }
    let at = (matrix.codes >>> 2) + ((row >>> 2) * groups + group) * words * PANEL + (row & 3);
    for (let w = 0; w < words; w++, at += PANEL) {
      const word = u32[at];
      for (let shift = 0; shift < 16; shift += bits) {
        out[column++] = scale * (((word >>> shift) & mask) - zero) - offset;
        out[column++] = scale * (((word >>> (shift + 16)) & mask) - zero) - offset;
      }
    }
  }
}
