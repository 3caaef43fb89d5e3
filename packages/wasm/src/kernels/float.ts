import { F32, FunctionBuilder, I32, V128, f32, f32x4, i32, i32x4, repeat, v128 } from '../assembler.ts';
import type { Code, KernelFunction, Local } from '../assembler.ts';

/** Float32 kernels: products with weights that are not packed and within attention, softmax, activations. */

/** Columns of a product that are computed together; rows of B and C have room for whole ones. */
export const COLUMN_TILE = 8;

/**
 * name(a, aStride, b, bStride, c, cStride, bias, columnTiles, inner): `rows` rows of C get A · B + bias. A is
 * [rows, inner], B [inner, 8 · columnTiles]; strides are bytes from row to row.
 */
export function floatKernel(name: string, rows: number): KernelFunction {
  const f = new FunctionBuilder();
  const [a, aStride, b, bStride, c, cStride, bias, columnTiles, inner] = Array.from({ length: 9 }, () =>
    f.parameter(),
  );
  const [count, bAt, cAt] = f.locals(3, I32);
  const aAt = f.locals(rows, I32);
  const [left, right, value] = f.locals(3, V128);
  const sums = f.locals(rows * 2, V128);
  return f.build(
    name,
    repeat(
      columnTiles,
      ...aAt.map((at, row) => at.set(row === 0 ? a.get : i32.add(aAt[row - 1].get, aStride.get))),
      ...sums.map((sum, index) => sum.set(v128.load(bias.get, (index % 2) * 16))),
      bAt.set(b.get),
      count.set(inner.get),
      repeat(
        count,
        left.set(v128.load(bAt.get)),
        right.set(v128.load(bAt.get, 16)),
        ...aAt.map((at, row) => [
          ...value.set(v128.load32Splat(at.get)),
          ...addProduct(sums[2 * row], value, left),
          ...addProduct(sums[2 * row + 1], value, right),
          ...at.step(i32.const(4)),
        ]),
        bAt.step(bStride.get),
      ),
      cAt.set(c.get),
      ...aAt.map((_, row) => [
        ...v128.store(cAt.get, sums[2 * row].get),
        ...v128.store(cAt.get, sums[2 * row + 1].get, 16),
        ...cAt.step(cStride.get),
      ]),
      b.step(i32.const(COLUMN_TILE * 4)),
      c.step(i32.const(COLUMN_TILE * 4)),
      bias.step(i32.const(COLUMN_TILE * 4)),
    ),
  );
}

function addProduct(sum: Local, a: Local, b: Local): Code {
  return sum.set(f32x4.add(sum.get, f32x4.mul(a.get, b.get)));
}

/**
 * eˣ of each lane, to 2 units in the last place: x = n·ln 2 + r, a polynomial for eʳ (S. Moshier, Cephes, expf),
 * n put into the exponent. Below −87 it gives what −87 gives, 1.6e-38.
 */
function exponential(x: Local, n: Local, r: Local): Code {
  const c = f32x4.const;
  const polynomial = [
    1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
  ].reduce((sum, coefficient) => f32x4.add(f32x4.mul(sum, r.get), c(coefficient)), c(1.98756915e-4));
  return [
    ...x.set(f32x4.min(f32x4.max(x.get, c(-87)), c(88))),
    ...n.set(f32x4.nearest(f32x4.mul(x.get, c(Math.LOG2E)))),
    // ln 2 in two parts, the first exact in float32 times any n
    ...r.set(f32x4.sub(x.get, f32x4.mul(n.get, c(0.693359375)))),
    ...r.set(f32x4.sub(r.get, f32x4.mul(n.get, c(-2.1219444e-4)))),
    ...x.set(f32x4.add(f32x4.add(f32x4.mul(f32x4.mul(polynomial, r.get), r.get), r.get), c(1))),
    ...x.set(f32x4.mul(x.get, i32x4.shl(i32x4.add(i32x4.truncate(n.get), i32x4.splat(i32.const(127))), 23))),
  ];
}

/** softmax(row, vectors, factor): of factor · row, in place; what does not count holds −∞ (a large negative number). */
export function softmaxKernel(): KernelFunction {
  const f = new FunctionBuilder();
  const [row, vectors] = [f.parameter(), f.parameter()];
  const factor = f.parameter(F32);
  const [at, count] = f.locals(2, I32);
  const [most, sum, x, n, r] = f.locals(5, V128);
  const across = (of: Local, join: (a: Code, b: Code) => Code): Code =>
    f32x4.splat([0, 1, 2, 3].map((index) => f32x4.lane(of.get, index)).reduce(join));
  const walk = (...body: Code[]): Code => [
    ...at.set(row.get),
    ...count.set(vectors.get),
    ...repeat(count, ...body, at.step(i32.const(16))),
  ];
  return f.build(
    'softmax',
    most.set(f32x4.const(-3e38)),
    walk(most.set(f32x4.max(most.get, v128.load(at.get)))),
    most.set(across(most, f32.max)),
    sum.set(v128.zero),
    walk(
      x.set(f32x4.mul(f32x4.sub(v128.load(at.get), most.get), f32x4.splat(factor.get))),
      exponential(x, n, r),
      v128.store(at.get, x.get),
      sum.set(f32x4.add(sum.get, x.get)),
    ),
    sum.set(f32x4.div(f32x4.const(1), across(sum, f32.add))),
    walk(v128.store(at.get, f32x4.mul(v128.load(at.get), sum.get))),
  );
}

/** siluGate(gate, up, vectors): gate ← gate / (1 + e^−gate) · up. */
export function siluGateKernel(): KernelFunction {
  const f = new FunctionBuilder();
  const [gate, up, vectors] = Array.from({ length: 3 }, () => f.parameter());
  const [x, n, r, value] = f.locals(4, V128);
  return f.build(
    'siluGate',
    repeat(
      vectors,
      value.set(v128.load(gate.get)),
      x.set(f32x4.sub(v128.zero, value.get)),
      exponential(x, n, r),
      v128.store(
        gate.get,
        f32x4.mul(f32x4.div(value.get, f32x4.add(f32x4.const(1), x.get)), v128.load(up.get)),
      ),
      gate.step(i32.const(16)),
      up.step(i32.const(16)),
    ),
  );
}

/**
 * gelu(x, vectors), in place: x/2 · (1 + erf(x/√2)), erf to 1.5e-7 (Abramowitz and Stegun, Handbook of Mathematical
 * Functions, 7.1.26, for |x|; erf is odd).
 */
export function geluKernel(): KernelFunction {
  const f = new FunctionBuilder();
  const [at, vectors] = [f.parameter(), f.parameter()];
  const [x, n, r, value, t] = f.locals(5, V128);
  const c = f32x4.const;
  const polynomial = [-1.453152027, 1.421413741, -0.284496736, 0.254829592].reduce(
    (sum, coefficient) => f32x4.add(f32x4.mul(sum, t.get), c(coefficient)),
    c(1.061405429),
  );
  // 1 − erf(|x|/√2)
  const complement = f32x4.mul(f32x4.mul(polynomial, t.get), x.get);
  const half = f32x4.mul(value.get, c(0.5));
  // x ≥ 0: x·(1 − c/2); x < 0: x·c/2. Without the cancellation of 1 − (1 − c).
  const negative = f32x4.mul(half, n.get);
  return f.build(
    'gelu',
    repeat(
      vectors,
      value.set(v128.load(at.get)),
      t.set(f32x4.div(c(1), f32x4.add(c(1), f32x4.mul(f32x4.abs(value.get), c(0.3275911 * Math.SQRT1_2))))),
      x.set(f32x4.mul(f32x4.mul(value.get, value.get), c(-0.5))),
      exponential(x, n, r),
      n.set(complement),
      r.set(f32x4.max(value.get, v128.zero)),
      // max(x, 0) − |x|·c/2 for both signs: x·c/2 is −|x|·c/2 below zero
      v128.store(at.get, f32x4.sub(r.get, f32x4.abs(negative))),
      at.step(i32.const(16)),
    ),
  );
}
