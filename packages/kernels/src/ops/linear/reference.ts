/** Float64 erf by its Taylor series, or 1 - continued fraction of erfc beyond 3; both to 1e-13. */
function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 3) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 100; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}

export interface LinearReference {
  readonly bias?: Float32Array;
  readonly activation?: 'gelu';
  readonly scale?: Float32Array;
  readonly gate?: Float32Array;
  readonly residual?: Float32Array;
}

/** Float64 linear: x [n, columns], dequantized weight [features, columns] → [n, features]. */
export function linearReference(
  x: Float32Array,
  weight: Float32Array,
  columns: number,
  { bias, activation, scale, gate, residual }: LinearReference = {},
): Float64Array {
  const n = x.length / columns;
  const features = weight.length / columns;
  const y = new Float64Array(n * features);
  for (let row = 0; row < n; row++) {
    for (let feature = 0; feature < features; feature++) {
      const at = row * features + feature;
      let v = bias?.[feature] ?? 0;
      for (let k = 0; k < columns; k++) v += x[row * columns + k] * weight[feature * columns + k];
      if (activation === 'gelu') v = 0.5 * v * (1 + erf(v / Math.SQRT2));
      if (scale) v *= scale[feature];
      if (gate) v *= gate[at] / (1 + Math.exp(-gate[at]));
      if (residual) v += residual[at];
      y[at] = v;
    }
  }
  return y;
}
