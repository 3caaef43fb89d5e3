/** Float64 half-split RoPE of x [tokens, heads·headDim] at positions past…. */
export function ropeReference(
  x: Float32Array,
  headDim: number,
  width: number,
  past: number,
  theta: number,
): Float64Array {
  const half = headDim / 2;
  const y = new Float64Array(x.length);
  for (let base = 0; base < x.length; base += headDim) {
    const position = past + Math.floor(base / width);
    for (let j = 0; j < half; j++) {
      const angle = position * theta ** ((-2 * j) / headDim);
      const [a, b] = [x[base + j], x[base + j + half]];
      y[base + j] = a * Math.cos(angle) - b * Math.sin(angle);
      y[base + j + half] = b * Math.cos(angle) + a * Math.sin(angle);
    }
  }
  return y;
}
