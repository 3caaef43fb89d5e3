import {
  SpeedqError,
  floatToHalf,
  floatsToHalves,
  isPackedBilevel,
  isPackedSymmetric,
  roundToHalf,
  symmetricCentre,
  unpackBilevel,
  unpackSymmetric,
  unpackToFloat,
} from '@speedq/format';
import type { PackedTensor } from '@speedq/format';
import { GGML_TYPES } from './gguf-file.ts';
import type { GgmlType } from './gguf-file.ts';

/**
 * Our schemes in ggml's blocks, without choosing codes anew. Most decode a weight as step · integer, so what differs is
 * only how finely a type can say the step:
 *
 * - Q4_0 (fp16 step, −8…7) holds tables, and codes below 4 bits in groups of 32 and more;
 * - Q4_1 (fp16 step and minimum) holds 4-bit codes, and codes above minima, in groups of 32 and more;
 * - Q3_K (groups of 16, −4…3, steps of 6 bits) holds 2-bit codes in groups of 16, where rows are multiples of 256;
 * - Q8_0 takes what is left: its codes are fine enough for two steps in a block of 32.
 */

const BLOCK = 32;
const SUPER_BLOCK = 256;
const GROUP = 16;
/** Codes of Q4_0 and Q3_K stand for −8…7 and −4…3. */
const Q4_ZERO = 8;
const Q3_ZERO = 4;
const Q3_MAX_STEP = 31;

/** The type that holds a tensor. */
export function ggmlType(tensor: PackedTensor): GgmlType {
  if (isPackedBilevel(tensor)) {
    const { bits, groupSize, zero } = tensor.scheme;
    const columns = tensor.shape[1];
    if (groupSize % BLOCK === 0) return bits < 4 && zero === 'integer' ? 'Q4_0' : 'Q4_1';
    const fitsQ3 = bits === 2 && zero === 'integer' && groupSize === GROUP && columns % SUPER_BLOCK === 0;
    return fitsQ3 ? 'Q3_K' : columns % BLOCK === 0 ? 'Q8_0' : 'F16';
  }
  if (isPackedSymmetric(tensor)) {
    // Only imported tables reach code 15, which stands for 8.
    return unpackSymmetric(tensor).codes.includes(15) ? 'Q4_1' : 'Q4_0';
  }
  return tensor.scheme.dtype === 'f16' && tensor.shape.length > 1 ? 'F16' : 'F32';
}

/** Throws `internal` where the type does not hold the tensor. */
export function encodeTensor(tensor: PackedTensor, type: GgmlType): Uint8Array {
  switch (type) {
    case 'F32':
      return bytesOf(unpackToFloat(tensor));
    case 'F16':
      return bytesOf(floatsToHalves(unpackToFloat(tensor)));
    case 'Q8_0':
      return encodeQ8(unpackToFloat(tensor));
    case 'Q4_0':
      return encodeQ4(integersOf(tensor));
    case 'Q4_1':
      return encodeQ4WithMinimum(codesOf(tensor));
    case 'Q3_K':
      return encodeQ3(integersOf(tensor));
  }
}

/** w = step[group] · value. */
interface Integers {
  readonly values: Int8Array;
  readonly groupSize: number;
  readonly step: Float32Array;
}

/** w = step[group] · code + minimum[group]. */
interface Codes {
  readonly codes: Uint8Array;
  readonly groupSize: number;
  readonly step: Float32Array;
  /** As a multiple of the step, or as it is. */
  readonly zero?: ArrayLike<number>;
  readonly offset?: Float32Array;
}

function codesOf(tensor: PackedTensor): Codes {
  if (isPackedBilevel(tensor)) {
    const { codes, scale: step, zero, offset, scheme } = unpackBilevel(tensor);
    return { codes, groupSize: scheme.groupSize, step, zero: offset ? undefined : zero, offset };
  }
  if (isPackedSymmetric(tensor)) {
    const { codes, scale: step, scheme } = unpackSymmetric(tensor);
    const zero = new Float32Array(step.length).fill(symmetricCentre(scheme));
    return { codes, groupSize: scheme.groupSize, step, zero };
  }
  throw new SpeedqError('internal', 'A tensor of floats has no codes.');
}

function integersOf(tensor: PackedTensor): Integers {
  const { codes, groupSize, step, zero } = codesOf(tensor);
  if (zero === undefined) throw new SpeedqError('internal', 'Codes above minima are no multiples of a step.');
  // A centre between two codes: twice the codes at half the step.
  const factor = Number.isInteger(zero[0]) ? 1 : 2;
  const values = new Int8Array(codes.length);
  for (let group = 0, i = 0; group < step.length; group++) {
    for (const end = i + groupSize; i < end; i++) values[i] = factor * (codes[i] - zero[group]);
  }
  return { values, groupSize, step: factor === 1 ? step : step.map((s) => s / factor) };
}

/** fp16 step, then 16 bytes: code j low and code j + 16 high. */
function encodeQ4({ values, groupSize, step }: Integers): Uint8Array {
  return blocks('Q4_0', values.length, (view, at, first) => {
    view.setUint16(at, floatToHalf(step[Math.floor(first / groupSize)]), true);
    const code = (j: number) => values[first + j] + Q4_ZERO;
    for (let j = 0; j < 16; j++) view.setUint8(at + 2 + j, code(j) | (code(j + 16) << 4));
  });
}

/** fp16 step and minimum, then the codes as they are. */
function encodeQ4WithMinimum({ codes, groupSize, step, zero, offset }: Codes): Uint8Array {
  return blocks('Q4_1', codes.length, (view, at, first) => {
    const group = Math.floor(first / groupSize);
    const d = roundToHalf(step[group]);
    view.setUint16(at, floatToHalf(d), true);
    const minimum = offset ? -offset[group] : -d * zero![group];
    view.setUint16(at + 2, floatToHalf(minimum), true);
    for (let j = 0; j < 16; j++) view.setUint8(at + 4 + j, codes[first + j] | (codes[first + j + 16] << 4));
  });
}

function encodeQ8(values: Float32Array): Uint8Array {
  return blocks('Q8_0', values.length, (view, at, first) => {
    let largest = 0;
    for (let j = 0; j < BLOCK; j++) largest = Math.max(largest, Math.abs(values[first + j]));
    const d = roundToHalf(largest / 127);
    view.setUint16(at, floatToHalf(d), true);
    for (let j = 0; j < BLOCK; j++) {
      const code = d === 0 ? 0 : Math.round(values[first + j] / d);
      view.setInt8(at + 2 + j, Math.max(-127, Math.min(127, code)));
    }
  });
}

/**
 * 32 bytes of high bits, 64 of low pairs, 12 of 6-bit steps, fp16 unit. Element 128n + 32j + l has its low bits in
 * byte 32n + l at 2j and its high bit in byte l at 4n + j; a clear high bit means minus 4.
 */
function encodeQ3({ values, step }: Integers): Uint8Array {
  const steps = new Uint8Array(SUPER_BLOCK / GROUP);
  return blocks('Q3_K', values.length, (view, at, first) => {
    const firstGroup = first / GROUP;
    const unit = chooseUnit(step.subarray(firstGroup, firstGroup + steps.length), steps);
    for (let i = 0; i < SUPER_BLOCK; i++) {
      const biased = values[first + i] + Q3_ZERO;
      const [n, j, l] = [i >> 7, (i >> 5) & 3, i & 31];
      const low = at + 32 + 32 * n + l;
      view.setUint8(low, view.getUint8(low) | ((biased & 3) << (2 * j)));
      if (biased >= Q3_ZERO) view.setUint8(at + l, view.getUint8(at + l) | (1 << (4 * n + j)));
    }
    for (let k = 0; k < steps.length; k++) {
      const biased = steps[k] + 32;
      const [low, high] = [at + 96 + (k & 7), at + 104 + (k & 3)];
      view.setUint8(low, view.getUint8(low) | ((biased & 15) << (k < 8 ? 0 : 4)));
      view.setUint8(high, view.getUint8(high) | ((biased >> 4) << (2 * (k >> 2))));
    }
    view.setUint16(at + 108, floatToHalf(unit), true);
  });
}

/** The unit whose multiples up to 31 come nearest to all steps, and which multiple each is. */
function chooseUnit(step: Float32Array, multiples: Uint8Array): number {
  const largest = Math.max(...step);
  let best = 0;
  let bestError = Infinity;
  for (let most = Q3_MAX_STEP; most > Q3_MAX_STEP / 2; most--) {
    const unit = roundToHalf(largest / most);
    if (unit === 0) break;
    let error = 0;
    for (const s of step) error += (s - unit * nearest(s, unit)) ** 2;
    if (error < bestError) [best, bestError] = [unit, error];
  }
  for (const [k, s] of step.entries()) multiples[k] = best === 0 ? 0 : nearest(s, best);
  return best;
}

function nearest(step: number, unit: number): number {
  return Math.max(0, Math.min(Q3_MAX_STEP, Math.round(step / unit)));
}

function blocks(
  type: GgmlType,
  elements: number,
  write: (view: DataView, at: number, first: number) => void,
): Uint8Array {
  const { block, bytes } = GGML_TYPES[type];
  const out = new Uint8Array((elements / block) * bytes);
  const view = new DataView(out.buffer);
  for (let i = 0; i * block < elements; i++) write(view, i * bytes, i * block);
  return out;
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}
