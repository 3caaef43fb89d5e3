/** Float64 norms of the rows of x [rows, width]. */
export function normReference(
  x: Float32Array,
  options: {
    kind: 'layer' | 'rms';
    width: number;
    epsilon: number;
    weight: Float32Array;
    bias?: Float32Array;
  },
): Float64Array {
  const { kind, width, epsilon, weight, bias } = options;
  const y = new Float64Array(x.length);
  for (let base = 0; base < x.length; base += width) {
    const row = Array.from(x.subarray(base, base + width));
    const mean = kind === 'layer' ? row.reduce((sum, v) => sum + v, 0) / width : 0;
    const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / width;
    row.forEach((v, i) => {
      y[base + i] = ((v - mean) / Math.sqrt(variance + epsilon)) * weight[i] + (bias?.[i] ?? 0);
    });
  }
  return y;
}
