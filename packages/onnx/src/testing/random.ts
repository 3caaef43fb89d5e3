/** Seeded random numbers for tests: a 32-bit mixing generator, good enough for shapes and weights. */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let x = state;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** Standard normal values. */
export function randomNormals(count: number, seed: number): Float32Array {
  const random = randomSource(seed);
  return Float32Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  );
}

/**
 * Weights [rows, columns] whose groups are, in turn: all zero, constant, all positive, all negative, one
 * outlier, exact halves of a step, very small, and normal; and whose first blocks have equal scales.
 */
export function edgeWeights(rows: number, columns: number, groupSize: number): Float32Array {
  const weight = randomNormals(rows * columns, 3);
  const groups = columns / groupSize;
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < groups; group++) {
      const start = row * columns + group * groupSize;
      const cells = weight.subarray(start, start + groupSize);
      if (group === 0) {
        cells.forEach((_, i) => (cells[i] = (i % 4) - 1));
        continue;
      }
      switch (row % 8) {
        case 0:
          cells.fill(0);
          break;
        case 1:
          cells.fill(0.25);
          break;
        case 2:
          cells.forEach((value, i) => (cells[i] = Math.abs(value) + 0.1));
          break;
        case 3:
          cells.forEach((value, i) => (cells[i] = -Math.abs(value) - 0.1));
          break;
        case 4:
          cells[0] = 100;
          break;
        case 5:
          cells.forEach((_, i) => (cells[i] = ((i % 7) - 3) / 2));
          break;
        case 6:
          cells.forEach((value, i) => (cells[i] = value * 1e-7));
          break;
      }
    }
  }
  // One block column of nothing but zeros.
  if (groups > 1) {
    for (let row = 0; row < rows; row++) weight.fill(0, (row + 1) * columns - groupSize, (row + 1) * columns);
  }
  return weight;
}
