import { SpeedqError } from './errors.ts';
import { dequantizeBilevel } from './bilevel.ts';
import type { BilevelTensor } from './bilevel.ts';
import { HALF_MAX, floatToHalf, halfToFloat, halvesToFloats } from './float16.ts';
import { SYMMETRIC_4BIT, bilevelLayout, checkScheme } from './schemes.ts';
import type { BilevelScheme, FloatScheme, SymmetricScheme } from './schemes.ts';
import { dequantizeSymmetric } from './symmetric.ts';
import type { SymmetricTensor } from './symmetric.ts';

/** Bit packing into the layout that kernels read; docs/format.md, "Stored tensors", is the specification. */

export interface PackedBilevel {
  readonly scheme: BilevelScheme;
  readonly shape: readonly [rows: number, columns: number];
  /** [rows/qq, columns/g, qq, g·bits/32] */
  readonly codes: Uint32Array;
  /** [rows/qq, columns/g, metaWords] */
  readonly meta: Uint32Array;
}

export interface PackedSymmetric {
  readonly scheme: SymmetricScheme;
  readonly shape: readonly [rows: number, columns: number];
  /** [rows, columns/8] */
  readonly codes: Uint32Array;
  /** fp16 bits [rows, columns/32] */
  readonly scales: Uint16Array;
}

export interface PackedFloat {
  readonly scheme: FloatScheme;
  readonly shape: readonly number[];
  /** fp16 bits or float32 values, row-major. */
  readonly data: Uint16Array | Float32Array;
}

export type PackedTensor = PackedBilevel | PackedSymmetric | PackedFloat;

export function isPackedBilevel(tensor: PackedTensor): tensor is PackedBilevel {
  return tensor.scheme.kind === 'bilevel';
}

export function isPackedSymmetric(tensor: PackedTensor): tensor is PackedSymmetric {
  return tensor.scheme.kind === 'symmetric';
}

export function isPackedFloat(tensor: PackedTensor): tensor is PackedFloat {
  return tensor.scheme.kind === 'float';
}

/**
 * Packs a quantized weight. Parameters chosen with `reference` lose precision here: they are not fp16.
 * Throws `unsupported` (no layout for the scheme), `not-representable` (step or minimum beyond fp16).
 */
export function packBilevel(tensor: BilevelTensor, name = 'weight'): PackedBilevel {
  const { scheme, rows, columns, codes, zero, scaleCode, step, minimum } = tensor;
  checkScheme(scheme, [rows, columns], name);
  const { groupSize, scaleGroupSize, bits } = scheme;
  const { codeWords, zeroWords, metaWords } = bilevelLayout(scheme);
  const groups = columns / groupSize;
  const perWord = 32 / bits;
  const packedCodes = new Uint32Array((codes.length * bits) / 32);
  const meta = new Uint32Array(step.length * metaWords);
  for (let block = 0, word = 0; block < step.length; block++) {
    const group = block % groups;
    const first = ((block - group) / groups) * scaleGroupSize;
    const base = block * metaWords;
    for (let r = 0; r < scaleGroupSize; r++) {
      let source = (first + r) * columns + group * groupSize;
      for (let w = 0; w < codeWords; w++, word++) {
        let packed = 0;
        for (let k = 0; k < perWord; k++) packed |= codes[source++] << (k * bits);
        packedCodes[word] = packed;
      }
      const index = (first + r) * groups + group;
      meta[base + ((r * bits) >>> 5)] |= zero[index] << ((r * bits) & 31);
      meta[base + zeroWords + (r >>> 3)] |= scaleCode[index] << ((r & 7) * 4);
    }
    if (!(Math.abs(step[block]) <= HALF_MAX && Math.abs(minimum[block]) <= HALF_MAX)) {
      throw new SpeedqError(
        'not-representable',
        `${name}: step ${step[block]} or minimum ${minimum[block]} of block ${block} does not fit fp16.`,
      );
    }
    meta[base + metaWords - 1] = floatToHalf(step[block]) | (floatToHalf(minimum[block]) << 16);
  }
  return { scheme, shape: [rows, columns], codes: packedCodes, meta };
}

/** The inverse of packBilevel; scales are decoded from the stored fp16 values. */
export function unpackBilevel({ scheme, shape, codes: packedCodes, meta }: PackedBilevel): BilevelTensor {
  const [rows, columns] = shape;
  checkScheme(scheme, shape, 'packed tensor');
  const { groupSize, scaleGroupSize, bits } = scheme;
  const { codeWords, zeroWords, metaWords } = bilevelLayout(scheme);
  const groups = columns / groupSize;
  const blocks = (rows / scaleGroupSize) * groups;
  checkWords('codes', packedCodes.length, blocks * scaleGroupSize * codeWords);
  checkWords('meta', meta.length, blocks * metaWords);
  const perWord = 32 / bits;
  const mask = 2 ** bits - 1;
  const codes = new Uint8Array(rows * columns);
  const scale = new Float32Array(rows * groups);
  const zero = new Uint8Array(rows * groups);
  const scaleCode = new Uint8Array(rows * groups);
  const step = new Float32Array(blocks);
  const minimum = new Float32Array(blocks);
  for (let block = 0, word = 0; block < blocks; block++) {
    const group = block % groups;
    const first = ((block - group) / groups) * scaleGroupSize;
    const base = block * metaWords;
    const halves = meta[base + metaWords - 1];
    const S = (step[block] = halfToFloat(halves & 0xffff));
    const m = (minimum[block] = halfToFloat(halves >>> 16));
    for (let r = 0; r < scaleGroupSize; r++) {
      let target = (first + r) * columns + group * groupSize;
      for (let w = 0; w < codeWords; w++, word++) {
        const packed = packedCodes[word];
        for (let k = 0; k < perWord; k++) codes[target++] = (packed >>> (k * bits)) & mask;
      }
      const index = (first + r) * groups + group;
      zero[index] = (meta[base + ((r * bits) >>> 5)] >>> ((r * bits) & 31)) & mask;
      const code = (meta[base + zeroWords + (r >>> 3)] >>> ((r & 7) * 4)) & 15;
      scaleCode[index] = code;
      scale[index] = S * code + m;
    }
  }
  return { scheme, rows, columns, codes, scale, zero, scaleCode, step, minimum };
}

/** Packs a quantized embedding or head; throws `not-representable` if a scale does not fit fp16. */
export function packSymmetric(tensor: SymmetricTensor, name = 'weight'): PackedSymmetric {
  const { rows, columns, codes, scale } = tensor;
  checkScheme(SYMMETRIC_4BIT, [rows, columns], name);
  const packedCodes = new Uint32Array(codes.length / 8);
  for (let word = 0, i = 0; word < packedCodes.length; word++) {
    let packed = 0;
    for (let shift = 0; shift < 32; shift += 4) packed |= codes[i++] << shift;
    packedCodes[word] = packed;
  }
  const scales = new Uint16Array(scale.length);
  for (let i = 0; i < scale.length; i++) {
    if (!(scale[i] <= HALF_MAX)) {
      throw new SpeedqError('not-representable', `${name}: scale ${scale[i]} does not fit fp16.`);
    }
    scales[i] = floatToHalf(scale[i]);
  }
  return { scheme: SYMMETRIC_4BIT, shape: [rows, columns], codes: packedCodes, scales };
}

export function unpackSymmetric({ shape, codes: packedCodes, scales }: PackedSymmetric): SymmetricTensor {
  const [rows, columns] = shape;
  checkScheme(SYMMETRIC_4BIT, shape, 'packed tensor');
  checkWords('codes', packedCodes.length, (rows * columns) / 8);
  checkWords('scales', scales.length, (rows * columns) / 32);
  const codes = new Uint8Array(rows * columns);
  for (let word = 0, i = 0; word < packedCodes.length; word++) {
    const packed = packedCodes[word];
    for (let shift = 0; shift < 32; shift += 4) codes[i++] = (packed >>> shift) & 15;
  }
  return { rows, columns, codes, scale: halvesToFloats(scales) };
}

/** The float32 values a stored tensor stands for, row-major: the CPU reference of every kernel. */
export function unpackToFloat(tensor: PackedTensor): Float32Array {
  if (isPackedBilevel(tensor)) {
    const unpacked = unpackBilevel(tensor);
    return dequantizeBilevel(unpacked.codes, unpacked);
  }
  if (isPackedSymmetric(tensor)) return dequantizeSymmetric(unpackSymmetric(tensor));
  const { data } = tensor;
  return data instanceof Uint16Array ? halvesToFloats(data) : data.slice();
}

/**
 * Checks what kernels take for granted in a tensor from an untrusted file: fp16 values are finite.
 * Throws `verification-failed`.
 */
export function checkPackedValues(tensor: PackedTensor, name: string): void {
  const check = (half: number, what: string, index: number): void => {
    if ((half & 0x7c00) !== 0x7c00) return;
    throw new SpeedqError(
      'verification-failed',
      `${name}: ${what} ${index} is ${halfToFloat(half)}. Pack the model again.`,
    );
  };
  if (isPackedBilevel(tensor)) {
    const { metaWords } = bilevelLayout(tensor.scheme);
    for (let word = metaWords - 1, block = 0; word < tensor.meta.length; word += metaWords, block++) {
      check(tensor.meta[word] & 0xffff, 'the step of block', block);
      check(tensor.meta[word] >>> 16, 'the minimum of block', block);
    }
  } else if (isPackedSymmetric(tensor)) {
    for (let i = 0; i < tensor.scales.length; i++) check(tensor.scales[i], 'scale', i);
  } else if (isPackedFloat(tensor)) {
    const { data } = tensor;
    const isHalf = data instanceof Uint16Array;
    for (let i = 0; i < data.length; i++) {
      if (isHalf) check(data[i], 'element', i);
      else if (!Number.isFinite(data[i])) check(0x7e00, 'element', i);
    }
  }
}

function checkWords(what: string, actual: number, expected: number): void {
  if (actual === expected) return;
  throw new SpeedqError(
    'shape-mismatch',
    `packed ${what} should have ${expected} elements for its shape, got ${actual}.`,
  );
}
