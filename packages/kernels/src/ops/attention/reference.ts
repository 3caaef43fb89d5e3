/**
 * Float64 attention: q [queries, heads·dim], k and v [keys, keyValueHeads·dim]. Query i sees the first
 * `visible(i)` keys.
 */
export function attentionReference(
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
  options: { heads: number; keyValueHeads: number; headDim: number; visible: (query: number) => number },
): Float64Array {
  const { heads, keyValueHeads, headDim, visible } = options;
  const width = heads * headDim;
  const pitch = keyValueHeads * headDim;
  const y = new Float64Array(q.length);
  for (let i = 0; i < q.length / width; i++) {
    for (let head = 0; head < heads; head++) {
      const offset = Math.floor(head / (heads / keyValueHeads)) * headDim;
      const scores = Array.from({ length: visible(i) }, (_, key) => {
        let s = 0;
        for (let d = 0; d < headDim; d++)
          s += q[i * width + head * headDim + d] * k[key * pitch + offset + d];
        return s / Math.sqrt(headDim);
      });
      const highest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
      const powers = scores.map((s) => Math.exp(s - highest));
      const total = powers.reduce((a, b) => a + b, 0);
      powers.forEach((p, key) => {
        for (let d = 0; d < headDim; d++) {
          y[i * width + head * headDim + d] += (p / total) * v[key * pitch + offset + d];
        }
      });
    }
  }
  return y;
}
