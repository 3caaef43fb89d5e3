import { SpeedqError } from '@speedq/format';

/**
 * M, upper triangular, with H = M·Mᵀ, for symmetric positive definite H [n, n]; the inverse of M is the factor
 * U of H⁻¹ = Uᵀ·U that GPTQ walks along. Found from the last row up, so that no inverse of H is needed.
 */
export function upperFactor(h: Float64Array, n: number): Float64Array {
  const m = new Float64Array(n * n);
  for (let j = n - 1; j >= 0; j--) {
    const row = m.subarray(j * n, (j + 1) * n);
    let square = h[j * n + j];
    for (let k = j + 1; k < n; k++) square -= row[k] * row[k];
    if (!(square > 0)) {
      throw new SpeedqError(
        'training-diverged',
        `The Gram matrix of calibration activations is not positive definite at column ${j} (pivot ${square}). ` +
          'Give more calibration data or a larger gptq.damping in the recipe.',
      );
    }
    const pivot = Math.sqrt(square);
    row[j] = pivot;
    for (let i = 0; i < j; i++) {
      const other = m.subarray(i * n, (i + 1) * n);
      let sum = h[i * n + j];
      for (let k = j + 1; k < n; k++) sum -= other[k] * row[k];
      other[j] = sum / pivot;
    }
  }
  return m;
}

/** The inverse of an upper triangular matrix [n, n]. */
export function invertUpper(m: Float64Array, n: number): Float64Array {
  const u = new Float64Array(n * n);
  for (let i = n - 1; i >= 0; i--) {
    const row = u.subarray(i * n, (i + 1) * n);
    // Row i of M·U = 1: m_ii·u_i = e_i − Σ_{k>i} m_ik·u_k.
    for (let k = i + 1; k < n; k++) {
      const factor = m[i * n + k];
      if (factor === 0) continue;
      const below = u.subarray(k * n, (k + 1) * n);
      for (let j = k; j < n; j++) row[j] -= factor * below[j];
    }
    const pivot = m[i * n + i];
    row[i] = 1;
    for (let j = i; j < n; j++) row[j] /= pivot;
  }
  return u;
}

/** Σ over rows of eᵀ·G·e: the squared error of a linear's output when its weight [rows, columns] is off by e. */
export function quadraticError(
  error: Float32Array | Float64Array,
  gram: Float64Array,
  columns: number,
): number {
  let total = 0;
  for (let start = 0; start < error.length; start += columns) {
    for (let i = 0; i < columns; i++) {
      const e = error[start + i];
      if (e === 0) continue;
      const base = i * columns;
      let sum = 0;
      for (let j = 0; j < i; j++) sum += gram[base + j] * error[start + j];
      total += e * (2 * sum + gram[base + i] * e);
    }
  }
  return total;
}

/** The blocks on the diagonal of a matrix [columns, columns], [columns/size, size, size]. */
export function diagonalBlocks(matrix: Float64Array, columns: number, size: number): Float64Array {
  const blocks = new Float64Array(columns * size);
  for (let row = 0; row < columns; row++) {
    const first = row - (row % size);
    blocks.set(matrix.subarray(row * columns + first, row * columns + first + size), row * size);
  }
  return blocks;
}
