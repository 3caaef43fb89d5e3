import { SpeedqError } from '@speedq/format';
import { Graph, Session, primitives as op } from '@speedq/onnx';
import { ort } from '../context.ts';

/** Products of float64 matrices by onnxruntime. */
export class DoubleProducts {
  private constructor(
    private readonly plain: Session,
    private readonly transposed: Session,
  ) {}

  static async create(threads: number): Promise<DoubleProducts> {
    const session = (transB: boolean): Promise<Session> => {
      const g = new Graph();
      const a = g.input('a', ['m', 'k'], 'float64');
      const b = g.input('b', transB ? ['n', 'k'] : ['k', 'n'], 'float64');
      g.output('y', op.gemm(g, a, b, { transB }));
      return Session.create(ort, g.build(), { threads });
    };
    return new DoubleProducts(await session(false), await session(true));
  }

  /** a [m, k] · b [k, n]; with `transB` b is [n, k]. */
  async multiply(
    a: Float64Array,
    b: Float64Array,
    [m, k, n]: readonly [number, number, number],
    { transB = false } = {},
  ): Promise<Float64Array> {
    const session = transB ? this.transposed : this.plain;
    const feeds = new Map([
      ['a', session.double(a, [m, k])],
      ['b', session.double(b, transB ? [n, k] : [k, n])],
    ]);
    return (await session.run(feeds)).get('y')!.data as Float64Array;
  }

  async release(): Promise<void> {
    await this.plain.release();
    await this.transposed.release();
  }
}

/** Matrices up to this size are factored element by element. */
const WHOLE = 128;

/**
 * `upperFactor` and its inverse, by halves, so that nearly all of it is products of matrices:
 * [[A, B], [Bᵀ, C]] = M·Mᵀ with M = [[Ma, X], [0, Mc]], C = Mc·Mcᵀ, X = B·Mc⁻ᵀ and A − X·Xᵀ = Ma·Maᵀ.
 */
export async function factorAndInverse(
  h: Float64Array,
  n: number,
  products: DoubleProducts,
  firstColumn = 0,
): Promise<{ readonly factor: Float64Array; readonly inverse: Float64Array }> {
  if (n <= WHOLE) {
    const factor = upperFactor(h, n, firstColumn);
    return { factor, inverse: invertUpper(factor, n) };
  }
  const p = n >> 1;
  const q = n - p;
  const c = await factorAndInverse(blockOf(h, n, [p, q], [p, q]), q, products, firstColumn + p);
  const x = await products.multiply(blockOf(h, n, [0, p], [p, q]), c.inverse, [p, q, q], { transB: true });
  const square = await products.multiply(x, x, [p, q, p], { transB: true });
  const rest = blockOf(h, n, [0, p], [0, p]);
  for (let i = 0; i < rest.length; i++) rest[i] -= square[i];
  const a = await factorAndInverse(rest, p, products, firstColumn);
  const corner = await products.multiply(await products.multiply(a.inverse, x, [p, p, q]), c.inverse, [
    p,
    q,
    q,
  ]);
  for (let i = 0; i < corner.length; i++) corner[i] = -corner[i];
  return {
    factor: triangle(a.factor, x, c.factor, p, q),
    inverse: triangle(a.inverse, corner, c.inverse, p, q),
  };
}

/** Rows and columns of a matrix [any, width], each as first and count. */
export function blockOf(
  matrix: Float64Array,
  width: number,
  [row, rows]: readonly [number, number],
  [column, columns]: readonly [number, number],
): Float64Array {
  const block = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    const start = (row + i) * width + column;
    block.set(matrix.subarray(start, start + columns), i * columns);
  }
  return block;
}

/** [[a, x], [0, c]]. */
function triangle(a: Float64Array, x: Float64Array, c: Float64Array, p: number, q: number): Float64Array {
  const n = p + q;
  const joined = new Float64Array(n * n);
  for (let i = 0; i < p; i++) {
    joined.set(a.subarray(i * p, (i + 1) * p), i * n);
    joined.set(x.subarray(i * q, (i + 1) * q), i * n + p);
  }
  for (let i = 0; i < q; i++) joined.set(c.subarray(i * q, (i + 1) * q), (p + i) * n + p);
  return joined;
}

/**
 * M, upper triangular, with H = M·Mᵀ, for symmetric positive definite H [n, n]; the inverse of M is the factor
 * U of H⁻¹ = Uᵀ·U that GPTQ walks along. Found from the last row up, so that no inverse of H is needed.
 */
export function upperFactor(h: Float64Array, n: number, firstColumn = 0): Float64Array {
  const m = new Float64Array(n * n);
  for (let j = n - 1; j >= 0; j--) {
    const row = m.subarray(j * n, (j + 1) * n);
    let square = h[j * n + j];
    for (let k = j + 1; k < n; k++) square -= row[k] * row[k];
    if (!(square > 0)) {
      throw new SpeedqError(
        'training-diverged',
        `The Gram matrix of calibration activations is not positive definite at column ${firstColumn + j} (pivot ${square}). ` +
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
