/**
 * cos and sin of rotary position embedding for each position: [positions, headDim/2] each.
 * θ_j = t · base^(-2j/headDim), computed in float64 and rounded once.
 */
export function rotaryTable(
  positions: ArrayLike<number>,
  headDim: number,
  base: number,
): { cos: Float32Array; sin: Float32Array } {
  const half = headDim / 2;
  const cos = new Float32Array(positions.length * half);
  const sin = new Float32Array(positions.length * half);
  for (let j = 0; j < half; j++) {
    const frequency = base ** (-j / half);
    for (let t = 0; t < positions.length; t++) {
      cos[t * half + j] = Math.cos(positions[t] * frequency);
      sin[t * half + j] = Math.sin(positions[t] * frequency);
    }
  }
  return { cos, sin };
}

/** Added to a score that must not count. Finite, so that a fully masked row is not NaN. */
export const MASKED = -1e30;
