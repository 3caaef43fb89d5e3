import { SpeedqError } from '@speedq/format';
import { checkRgbImage } from './rgb-image.ts';
import type { RgbImage } from './rgb-image.ts';

/**
 * Bicubic resizing, byte for byte what Pillow's `Image.resize` gives: antialiased, separable, 22-bit fixed-point
 * weights, rounded to bytes between the horizontal and the vertical pass.
 */

const WEIGHT_BITS = 22;
const HALF = 1 << (WEIGHT_BITS - 1);
/** Reach of the kernel in pixels of the smaller grid. */
const REACH = 2;
/** Keys' kernel parameter. */
const A = -0.5;
/** A row of MAX_TILES tiles of 448 pixels fits. */
const MAX_OUTPUT_SIDE = 32_768;

// Order of operations as in Pillow: another would differ in the last bit of some weights.
function kernel(distance: number): number {
  const x = Math.abs(distance);
  if (x < 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * A;
  return 0;
}

interface Taps {
  /** First source index per output index. */
  readonly starts: Int32Array;
  readonly counts: Int32Array;
  /** `stride` weights per output index. */
  readonly weights: Int32Array;
  readonly stride: number;
}

function computeTaps(inSize: number, outSize: number): Taps {
  const scale = inSize / outSize;
  const filterScale = Math.max(scale, 1);
  const support = REACH * filterScale;
  const inverse = 1 / filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(outSize);
  const counts = new Int32Array(outSize);
  const weights = new Int32Array(outSize * stride);
  const row = new Float64Array(stride);
  for (let out = 0; out < outSize; out++) {
    const centre = (out + 0.5) * scale;
    const start = Math.max(Math.trunc(centre - support + 0.5), 0);
    const count = Math.min(Math.trunc(centre + support + 0.5), inSize) - start;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      row[i] = kernel((i + start - centre + 0.5) * inverse);
      sum += row[i];
    }
    for (let i = 0; i < count; i++) {
      const weight = (sum === 0 ? row[i] : row[i] / sum) * (1 << WEIGHT_BITS);
      weights[out * stride + i] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    starts[out] = start;
    counts[out] = count;
  }
  return { starts, counts, weights, stride };
}

/** Sums of weights stay below 1.5 · 2^22, so 255 times that fits 32 bits, as in Pillow. */
function toByte(sum: number): number {
  const value = sum >> WEIGHT_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

function resizeRows(source: Uint8Array, width: number, height: number, outWidth: number): Uint8Array {
  const { starts, counts, weights, stride } = computeTaps(width, outWidth);
  const target = new Uint8Array(outWidth * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < outWidth; x++, to += 3) {
      const first = x * stride;
      const end = first + counts[x];
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      for (let k = first, from = (y * width + starts[x]) * 3; k < end; k++, from += 3) {
        const weight = weights[k];
        red = (red + Math.imul(weight, source[from])) | 0;
        green = (green + Math.imul(weight, source[from + 1])) | 0;
        blue = (blue + Math.imul(weight, source[from + 2])) | 0;
      }
      target[to] = toByte(red);
      target[to + 1] = toByte(green);
      target[to + 2] = toByte(blue);
    }
  }
  return target;
}

function resizeColumns(source: Uint8Array, width: number, height: number, outHeight: number): Uint8Array {
  const { starts, counts, weights, stride } = computeTaps(height, outHeight);
  const rowLength = width * 3;
  const target = new Uint8Array(rowLength * outHeight);
  // Row by row instead of column by column: the source is read in the order it lies in memory.
  const sums = new Int32Array(rowLength);
  for (let y = 0; y < outHeight; y++) {
    sums.fill(HALF);
    for (let k = 0; k < counts[y]; k++) {
      const weight = weights[y * stride + k];
      const from = (starts[y] + k) * rowLength;
      for (let i = 0; i < rowLength; i++) sums[i] += Math.imul(weight, source[from + i]);
    }
    for (let i = 0; i < rowLength; i++) target[y * rowLength + i] = toByte(sums[i]);
  }
  return target;
}

/**
 * Resizes to exactly outWidth × outHeight, without keeping the aspect ratio. A side that stays the same is
 * not filtered; the source's data is returned uncopied if both stay.
 * @throws SpeedqError 'invalid-image', 'invalid-argument'
 */
export function resizeBicubic(image: RgbImage, outWidth: number, outHeight: number): RgbImage {
  checkRgbImage(image);
  for (const side of [outWidth, outHeight]) {
    if (!Number.isInteger(side) || side < 1 || side > MAX_OUTPUT_SIDE) {
      throw new SpeedqError(
        'invalid-argument',
        `A side must be 1 to ${MAX_OUTPUT_SIDE} pixels, got ${side}.`,
      );
    }
  }
  const { width, height } = image;
  let { data } = image;
  if (outWidth !== width) data = resizeRows(data, width, height, outWidth);
  if (outHeight !== height) data = resizeColumns(data, outWidth, height, outHeight);
  return { width: outWidth, height: outHeight, data };
}
