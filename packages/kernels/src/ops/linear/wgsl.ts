/** WGSL functions shared by programs. */

/**
 * Two fp16 of a word by integer arithmetic: WGSL allows unpack2x16float to flush subnormals, which the steps
 * between 4-bit scales often are.
 */
export const HALF_PAIR = `
fn half_value(bits: u32) -> f32 {
  let magnitude = bits & 0x7fffu;
  let normal = bitcast<f32>((magnitude << 13u) + 0x38000000u);
  let value = select(normal, f32(magnitude) * 0x1p-24f, magnitude < 0x400u);
  return select(value, -value, (bits & 0x8000u) != 0u);
}
fn half_pair(word: u32) -> vec2<f32> {
  return vec2(half_value(word & 0xffffu), half_value(word >> 16u));
}`;

/**
 * erf to 1.4e-7: below 1 an odd polynomial, above it 1 - exp(-p(x)) with p fitted to -ln erfc on [1, 4]
 * (Chebyshev fits of degree 6 and 7; erfc(4) is below f32's resolution at 1).
 */
export const GELU = `
fn erf(x: f32) -> f32 {
  let s = x * x;
  if (s < 1.0f) {
    return x * (1.1283791065216064f + s * (-0.3761262595653534f + s * (0.11283597350120544f
      + s * (-0.02685432881116867f + s * (0.005189312156289816f + s * (-0.0008018855005502701f
      + s * 0.00007882497448008507f))))));
  }
  let a = min(abs(x), 4.0f);
  let p = 0.0007569686276838183f + a * (1.125925898551941f + a * (0.6390933394432068f
    + a * (0.10331898182630539f + a * (-0.022621985524892807f + a * (0.0034368676133453846f
    + a * (-0.0003175720339640975f + a * 0.000013309389942151029f))))));
  return sign(x) * (1.0f - exp(-p));
}
fn gelu(x: f32) -> f32 { return 0.5f * x * (1.0f + erf(x * 0.7071067811865476f)); }`;

export const SILU = 'fn silu(x: f32) -> f32 { return x / (1.0f + exp(-x)); }';
