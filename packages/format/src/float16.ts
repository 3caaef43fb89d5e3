/** Conversions between float32 and the two 16-bit formats, rounding to nearest, ties to even. */

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);

/** Adding and subtracting 1.5·2^52 rounds any |x| < 2^51 to the nearest integer, ties to even. */
const ROUND_MAGIC = 6755399441055744;

/** Largest finite fp16 value. */
export const HALF_MAX = 65504;

/** Smallest normal fp16 value, 2^-14; below it precision falls. */
export const HALF_MIN_NORMAL = 2 ** -14;

/** Round half to even (torch.round), for |x| < 2^51. */
export function roundHalfToEven(x: number): number {
  return x + ROUND_MAGIC - ROUND_MAGIC;
}

/** fp16 bits of the float32 nearest to x. Values from 65520 on become infinity. */
export function floatToHalf(x: number): number {
  f32[0] = x;
  const bits = u32[0];
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    const rebased = magnitude - 0x38000000;
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  return sign | (Math.abs(f32[0]) * 16777216 + ROUND_MAGIC - ROUND_MAGIC);
}

/** Value of fp16 bits. */
export function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0) return sign * mantissa * 5.960464477539063e-8;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  u32[0] = ((half & 0x8000) << 16) | ((exponent + 112) << 23) | (mantissa << 13);
  return f32[0];
}

/** x rounded to fp16, as a number. */
export function roundToHalf(x: number): number {
  return halfToFloat(floatToHalf(x));
}

/** bf16 bits of the float32 nearest to x. */
export function floatToBfloat(x: number): number {
  f32[0] = x;
  const bits = u32[0];
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits >>> 16) | 0x40) & 0xffff;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Value of bf16 bits. */
export function bfloatToFloat(bfloat: number): number {
  u32[0] = bfloat << 16;
  return f32[0];
}

export function floatsToHalves(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) out[i] = floatToHalf(values[i]);
  return out;
}

export function halvesToFloats(halves: Uint16Array): Float32Array {
  const out = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) out[i] = halfToFloat(halves[i]);
  return out;
}

export function floatsToBfloats(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) out[i] = floatToBfloat(values[i]);
  return out;
}

export function bfloatsToFloats(bfloats: Uint16Array): Float32Array {
  const out = new Float32Array(bfloats.length);
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < bfloats.length; i++) bits[i] = bfloats[i] << 16;
  return out;
}
