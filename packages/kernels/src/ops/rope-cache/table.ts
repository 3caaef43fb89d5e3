/**
 * (cos, sin) of every position and pair, [positions, headDim/2, 2]. Frequencies and angles are rounded to
 * float32 as PyTorch's are, so that positions in the thousands agree with it.
 */
export function ropeTable(positions: number, headDim: number, theta: number): Float32Array<ArrayBuffer> {
  const half = headDim / 2;
  const table = new Float32Array(positions * half * 2);
  for (let pair = 0; pair < half; pair++) {
    const frequency = Math.fround(1 / Math.fround(theta ** ((2 * pair) / headDim)));
    for (let position = 0; position < positions; position++) {
      const angle = Math.fround(position * frequency);
      table[(position * half + pair) * 2] = Math.cos(angle);
      table[(position * half + pair) * 2 + 1] = Math.sin(angle);
    }
  }
  return table;
}
