import { SpeedqError } from './errors.ts';
import { dequantizeBilevel } from './bilevel.ts';
import type { BilevelTensor } from './bilevel.ts';
import { HALF_MAX, floatToHalf, halfToFloat, halvesToFloats } from './float16.ts';
import { bilevelLayout, checkScheme, panelMetaWords } from './schemes.ts';
import type { BilevelScheme, FloatScheme, SymmetricScheme } from './schemes.ts';
import { dequantizeSymmetric } from './symmetric.ts';
import type { SymmetricTensor } from './symmetric.ts';

/** Bit packing into the layout that kernels read; docs/format.md, "Stored tensors", is the specification. */

export interface PackedBilevel {
  readonly scheme: BilevelScheme;
  readonly shape: readonly [rows: number, columns: number];
  /** [rows/qq, columns/g, codeWords] */
  readonly codes: Uint32Array;
  /** [rows/qq, panelMetaWords] */
  readonly meta: Uint32Array;
}

export interface PackedSymmetric {
  readonly scheme: SymmetricScheme;
  readonly shape: readonly [rows: number, columns: number];
  /** [rows, columns·bits/32] */
  readonly codes: Uint32Array;
  /** fp16 bits [rows, columns/g] */
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
  const { groupSize, scaleGroupSize } = scheme;
  const layout = bilevelLayout(scheme);
  const { lowBits, highBits, codeWords, lowWords, zeroLowBits, zeroHighBits, zeroWords, metaWords } = layout;
  const groups = columns / groupSize;
  const perWord = 32 / lowBits;
  const low = 2 ** lowBits - 1;
  const zeroLow = 2 ** zeroLowBits - 1;
  const packedCodes = new Uint32Array(step.length * codeWords);
  const panelWords = panelMetaWords(scheme, groups);
  const meta = new Uint32Array((rows / scaleGroupSize) * panelWords);
  for (let block = 0; block < step.length; block++) {
    const group = block % groups;
    const panel = (block - group) / groups;
    const first = panel * scaleGroupSize;
    const base = panel * panelWords + group * metaWords;
    const tail = panel * panelWords + groups * metaWords;
    let word = block * codeWords;
    for (let r = 0; r < scaleGroupSize; r++) {
      let source = (first + r) * columns + group * groupSize;
      for (const end = source + groupSize; source < end; word++) {
        let packed = 0;
        for (let k = 0; k < perWord; k++) packed |= (codes[source++] & low) << (k * lowBits);
        packedCodes[word] = packed;
      }
      const index = (first + r) * groups + group;
      meta[base + ((r * zeroLowBits) >>> 5)] |= (zero[index] & zeroLow) << ((r * zeroLowBits) & 31);
      meta[base + zeroWords + (r >>> 3)] |= scaleCode[index] << ((r & 7) * 4);
      if (zeroHighBits > 0) {
        const bit = group * scaleGroupSize + r;
        meta[tail + (bit >>> 5)] |= (zero[index] >>> zeroLowBits) << (bit & 31);
      }
      if (highBits > 0) {
        const begin = block * codeWords + lowWords;
        source = (first + r) * columns + group * groupSize;
        for (let j = 0, bit = r * groupSize; j < groupSize; j++, bit++) {
          packedCodes[begin + (bit >>> 5)] |= (codes[source + j] >>> lowBits) << (bit & 31);
        }
      }
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
  const { groupSize, scaleGroupSize } = scheme;
  const layout = bilevelLayout(scheme);
  const { lowBits, highBits, codeWords, lowWords, zeroLowBits, zeroHighBits, zeroWords, metaWords } = layout;
  const groups = columns / groupSize;
  const panels = rows / scaleGroupSize;
  const blocks = panels * groups;
  const panelWords = panelMetaWords(scheme, groups);
  checkWords('codes', packedCodes.length, blocks * codeWords);
  checkWords('meta', meta.length, panels * panelWords);
  const perWord = 32 / lowBits;
  const low = 2 ** lowBits - 1;
  const zeroLow = 2 ** zeroLowBits - 1;
  const codes = new Uint8Array(rows * columns);
  const scale = new Float32Array(rows * groups);
  const zero = new Uint8Array(rows * groups);
  const offset = scheme.zero === 'minimum' ? new Float32Array(rows * groups) : undefined;
  const scaleCode = new Uint8Array(rows * groups);
  const step = new Float32Array(blocks);
  const minimum = new Float32Array(blocks);
  for (let block = 0; block < blocks; block++) {
    const group = block % groups;
    const panel = (block - group) / groups;
    const first = panel * scaleGroupSize;
    const base = panel * panelWords + group * metaWords;
    const tail = panel * panelWords + groups * metaWords;
    const halves = meta[base + metaWords - 1];
    const S = (step[block] = halfToFloat(halves & 0xffff));
    const m = (minimum[block] = halfToFloat(halves >>> 16));
    let word = block * codeWords;
    for (let r = 0; r < scaleGroupSize; r++) {
      let target = (first + r) * columns + group * groupSize;
      for (const end = target + groupSize; target < end; word++) {
        const packed = packedCodes[word];
        for (let k = 0; k < perWord; k++) codes[target++] = (packed >>> (k * lowBits)) & low;
      }
      if (highBits > 0) {
        const begin = block * codeWords + lowWords;
        target -= groupSize;
        for (let j = 0, bit = r * groupSize; j < groupSize; j++, bit++) {
          codes[target + j] |= ((packedCodes[begin + (bit >>> 5)] >>> (bit & 31)) & 1) << lowBits;
        }
      }
      const index = (first + r) * groups + group;
      let z = (meta[base + ((r * zeroLowBits) >>> 5)] >>> ((r * zeroLowBits) & 31)) & zeroLow;
      if (zeroHighBits > 0) {
        const bit = group * scaleGroupSize + r;
        z |= ((meta[tail + (bit >>> 5)] >>> (bit & 31)) & 1) << zeroLowBits;
      }
      zero[index] = z;
      const code = (meta[base + zeroWords + (r >>> 3)] >>> ((r & 7) * 4)) & 15;
      scaleCode[index] = code;
      if (offset) offset[index] = m * z;
      scale[index] = offset ? S * code : S * code + m;
    }
  }
  const parameters = { scheme, rows, columns, scale, zero, scaleCode, step, minimum };
  return { ...parameters, codes, ...(offset && { offset }) };
}

/** Packs a quantized embedding or head; throws `not-representable` if a scale does not fit fp16. */
export function packSymmetric(tensor: SymmetricTensor, name = 'weight'): PackedSymmetric {
  const { scheme, rows, columns, codes, scale } = tensor;
  checkScheme(scheme, [rows, columns], name);
  const { bits } = scheme;
  const lowBits = bits === 3 ? 2 : bits;
  const low = 2 ** lowBits - 1;
  const packedCodes = new Uint32Array((codes.length * bits) / 32);
  for (let word = 0, i = 0; i < codes.length;) {
    let high = 0;
    for (let left = lowBits; left > 0; left--) {
      let packed = 0;
      for (let shift = 0; shift < 32; shift += lowBits, i++) {
        packed |= (codes[i] & low) << shift;
        high |= (codes[i] >>> lowBits) << (i & 31);
      }
      packedCodes[word++] = packed;
    }
    if (bits === 3) packedCodes[word++] = high;
  }
  const scales = new Uint16Array(scale.length);
  for (let i = 0; i < scale.length; i++) {
    if (!(scale[i] <= HALF_MAX)) {
      throw new SpeedqError('not-representable', `${name}: scale ${scale[i]} does not fit fp16.`);
    }
    scales[i] = floatToHalf(scale[i]);
  }
  return { scheme, shape: [rows, columns], codes: packedCodes, scales };
}

export function unpackSymmetric({
  scheme,
  shape,
  codes: packedCodes,
  scales,
}: PackedSymmetric): SymmetricTensor {
  const [rows, columns] = shape;
  checkScheme(scheme, shape, 'packed tensor');
  const { bits, groupSize } = scheme;
  checkWords('codes', packedCodes.length, (rows * columns * bits) / 32);
  checkWords('scales', scales.length, (rows * columns) / groupSize);
  const lowBits = bits === 3 ? 2 : bits;
  const low = 2 ** lowBits - 1;
  const codes = new Uint8Array(rows * columns);
  for (let word = 0, i = 0; i < codes.length;) {
    const high = bits === 3 ? packedCodes[word + lowBits] : 0;
    for (let left = lowBits; left > 0; left--) {
      const packed = packedCodes[word++];
      for (let shift = 0; shift < 32; shift += lowBits, i++) {
        codes[i] = ((packed >>> shift) & low) | (((high >>> (i & 31)) & 1) << lowBits);
      }
    }
    if (bits === 3) word++;
  }
  return { scheme, rows, columns, codes, scale: halvesToFloats(scales) };
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
    const { scheme, shape, meta } = tensor;
    const { metaWords } = bilevelLayout(scheme);
    const groups = shape[1] / scheme.groupSize;
    const panelWords = panelMetaWords(scheme, groups);
    for (let block = 0; block < (shape[0] / scheme.scaleGroupSize) * groups; block++) {
      const group = block % groups;
      const word = ((block - group) / groups) * panelWords + (group + 1) * metaWords - 1;
      check(meta[word] & 0xffff, 'the step of block', block);
      check(meta[word] >>> 16, 'the minimum of block', block);
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
