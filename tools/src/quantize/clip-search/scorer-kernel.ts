import { FunctionBuilder, I32, V128, f32x4, f64x2, i32, i8x16, repeat, v128 } from '@speedq/wasm/assembler';
import type { Code, KernelFunction } from '@speedq/wasm/assembler';

/** Candidates that a vector holds. */
export const LANES = 4;
/** Bytes of the errors of one weight, a float64 for each lane. */
const ERROR_BYTES = LANES * 8;
const WEIGHT_BYTES = 4;
const GRAM_BYTES = 8;
/** Rows of the Gram matrix whose products share the errors they are multiplied with. */
export const TILE = 4;

/**
 * score(weights, gram, min, max, scale, offset, out, errors, size, vectors): for four candidates a vector the squared
 * error eᵀ·G·e of a group of `size` float32 weights, in the operations and the order of searchClipRange, so that both
 * give the same bits. `gram` [size, size] and `out` are float64; `errors` is room for size · 4 of them. `size` is a
 * multiple of TILE and at least twice it. With minima, offsets are in weights, else in codes.
 */
export function scoreKernel(qmax: number, hasMinima: boolean): KernelFunction {
  const f = new FunctionBuilder();
  const [weights, gram, min, max, scale, offset, out, errors, size, vectors] = Array.from(
    { length: 10 },
    () => f.parameter(),
  );
  const [weightAt, errorAt, tileAt, stride, count, tiles, before] = f.locals(7, I32);
  const rows = f.locals(TILE, I32);
  const [lowest, highest, s, z, w, q, g] = f.locals(7, V128);
  const sums = Array.from({ length: TILE }, () => f.locals(2, V128));
  const errorsOf = f.locals(2, V128);
  const totals = f.locals(2, V128);

  const quantized: Code = hasMinima
    ? q.set(f32x4.nearest(f32x4.div(f32x4.add(q.get, z.get), s.get)))
    : q.set(f32x4.nearest(f32x4.add(f32x4.div(q.get, s.get), z.get)));
  /** Two lanes of what the codes stand for, widened; minima are taken off before the one rounding to float32. */
  const value = (half: number): Code => {
    const wide = (vector: Code): Code => f64x2.promoteLow(half === 0 ? vector : upperHalf(vector));
    if (!hasMinima) return wide(q.get);
    return f64x2.promoteLow(f64x2.demote(f64x2.sub(f64x2.mul(wide(s.get), wide(q.get)), wide(z.get))));
  };
  /** Leaves each lane's error of a weight at `errorAt`. */
  const quantize = (at: number): Code => [
    ...w.set(v128.load32Splat(weightAt.get, WEIGHT_BYTES * at)),
    ...q.set(v128.bitselect(lowest.get, w.get, f32x4.lt(w.get, lowest.get))),
    ...q.set(v128.bitselect(highest.get, q.get, f32x4.gt(w.get, highest.get))),
    ...quantized,
    ...q.set(f32x4.min(f32x4.max(q.get, v128.zero), f32x4.const(qmax))),
    ...(hasMinima ? [] : q.set(f32x4.mul(s.get, f32x4.sub(q.get, z.get)))),
    ...w.set(f64x2.promoteLow(w.get)),
    ...v128.store(errorAt.get, f64x2.sub(w.get, value(0)), ERROR_BYTES * at),
    ...v128.store(errorAt.get, f64x2.sub(w.get, value(1)), ERROR_BYTES * at + 16),
  ];
  /** Adds the products of a column, `column` behind where the rows are, to the sums of `of`. */
  const addColumn = (column: number, of: readonly number[]): Code => [
    ...errorsOf.flatMap((error, half) => error.set(v128.load(errorAt.get, ERROR_BYTES * column + 16 * half))),
    ...of.flatMap((row) => [
      ...g.set(v128.load64Splat(rows[row].get, GRAM_BYTES * column)),
      ...sums[row].flatMap((sum, half) => sum.set(f64x2.add(sum.get, f64x2.mul(g.get, errorsOf[half].get)))),
    ]),
  ];
  const all = Array.from({ length: TILE }, (_, row) => row);
  /** The tile on the diagonal: each row's last products below it, and what the row adds to the totals. */
  const finishTile: Code = all.flatMap((row) => [
    // Errors of column `row` are what later rows multiply, and this row's own.
    ...addColumn(row, all.slice(row + 1)),
    ...g.set(v128.load64Splat(rows[row].get, GRAM_BYTES * row)),
    ...totals.flatMap((total, half) => {
      const [sum, error] = [sums[row][half].get, errorsOf[half].get];
      const inner = f64x2.add(f64x2.add(sum, sum), f64x2.mul(g.get, error));
      return total.set(f64x2.add(total.get, f64x2.mul(error, inner)));
    }),
  ]);
  /** A tile whose first row is at `tileAt`, `before` tiles below the diagonal's in it. */
  const startTile: Code = [
    ...rows[0].set(tileAt.get),
    ...rows.slice(1).flatMap((row, above) => row.set(i32.add(rows[above].get, stride.get))),
    ...errorAt.set(errors.get),
    ...sums.flat().flatMap((sum) => sum.set(v128.zero)),
  ];
  return f.build(
    'score',
    stride.set(i32.mul(size.get, i32.const(GRAM_BYTES))),
    repeat(
      vectors,
      lowest.set(v128.load(min.get)),
      highest.set(v128.load(max.get)),
      s.set(v128.load(scale.get)),
      z.set(v128.load(offset.get)),
      weightAt.set(weights.get),
      errorAt.set(errors.get),
      count.set(i32.shrU(size.get, i32.const(Math.log2(TILE)))),
      repeat(
        count,
        all.flatMap(quantize),
        weightAt.step(i32.const(TILE * WEIGHT_BYTES)),
        errorAt.step(i32.const(TILE * ERROR_BYTES)),
      ),
      ...totals.map((total) => total.set(v128.zero)),
      tileAt.set(gram.get),
      startTile,
      finishTile,
      before.set(i32.const(1)),
      tiles.set(i32.sub(i32.shrU(size.get, i32.const(Math.log2(TILE))), before.get)),
      repeat(
        tiles,
        tileAt.step(i32.mul(stride.get, i32.const(TILE))),
        startTile,
        count.set(before.get),
        repeat(
          count,
          all.flatMap((column) => addColumn(column, all)),
          ...rows.map((row) => row.step(i32.const(TILE * GRAM_BYTES))),
          errorAt.step(i32.const(TILE * ERROR_BYTES)),
        ),
        finishTile,
        before.step(i32.const(1)),
      ),
      v128.store(out.get, totals[0].get),
      v128.store(out.get, totals[1].get, 16),
      ...[min, max, scale, offset].map((at) => at.step(i32.const(16))),
      out.step(i32.const(ERROR_BYTES)),
    ),
  );
}

function upperHalf(value: Code): Code {
  const lanes = Array.from({ length: 16 }, (_, i) => (i + 8) % 16);
  return i8x16.shuffle(value, value, lanes);
}
