import { FunctionBuilder, V128, f32x4, f64x2, i32, i8x16, repeat, v128 } from '@speedq/wasm/assembler';
import type { Code, KernelFunction } from '@speedq/wasm/assembler';

/** Candidates that a vector holds. */
export const LANES = 4;
/** Bytes of the errors of one weight, a float64 for each lane. */
const ERROR_BYTES = LANES * 8;

/**
 * score(weights, gram, min, max, scale, zero, out, errors, vectors): for four candidates a vector the squared error
 * eᵀ·G·e of a group of float32 weights, in the operations and the order of searchClipRange, so that both give the
 * same bits. `gram` [groupSize, groupSize] and `out` are float64; `errors` is room for groupSize · 4 of them.
 */
export function scoreKernel(groupSize: number, qmax: number): KernelFunction {
  const f = new FunctionBuilder();
  const [weights, gram, min, max, scale, zero, out, errors, vectors] = Array.from({ length: 9 }, () =>
    f.parameter(),
  );
  const [lowest, highest, s, z, w, q, g] = f.locals(7, V128);
  const sums = f.locals(2, V128);
  const totals = f.locals(2, V128);
  const [first, second] = f.locals(2, V128);

  /** Leaves each lane's error of weight i at `errors`. */
  const quantize = (i: number): Code => [
    ...w.set(v128.load32Splat(weights.get, 4 * i)),
    ...q.set(v128.bitselect(lowest.get, w.get, f32x4.lt(w.get, lowest.get))),
    ...q.set(v128.bitselect(highest.get, q.get, f32x4.gt(w.get, highest.get))),
    ...q.set(f32x4.nearest(f32x4.add(f32x4.div(q.get, s.get), z.get))),
    ...q.set(f32x4.min(f32x4.max(q.get, v128.zero), f32x4.const(qmax))),
    ...q.set(f32x4.mul(s.get, f32x4.sub(q.get, z.get))),
    ...w.set(f64x2.promoteLow(w.get)),
    ...v128.store(errors.get, f64x2.sub(w.get, f64x2.promoteLow(q.get)), ERROR_BYTES * i),
    ...v128.store(errors.get, f64x2.sub(w.get, f64x2.promoteLow(upperHalf(q.get))), ERROR_BYTES * i + 16),
  ];
  const errorOf = (i: number, half: number): Code => v128.load(errors.get, ERROR_BYTES * i + 16 * half);
  const gramAt = (i: number, j: number): Code => g.set(v128.load64Splat(gram.get, 8 * (i * groupSize + j)));
  const addRow = (i: number): Code => [
    ...sums.flatMap((sum) => sum.set(v128.zero)),
    ...Array.from({ length: i }, (_, j) => [
      ...gramAt(i, j),
      ...sums.flatMap((sum, half) => sum.set(f64x2.add(sum.get, f64x2.mul(g.get, errorOf(j, half))))),
    ]).flat(),
    ...gramAt(i, i),
    ...first.set(errorOf(i, 0)),
    ...second.set(errorOf(i, 1)),
    ...[first, second].flatMap((error, half) => {
      const { get } = sums[half];
      const inner = f64x2.add(f64x2.add(get, get), f64x2.mul(g.get, error.get));
      return totals[half].set(f64x2.add(totals[half].get, f64x2.mul(error.get, inner)));
    }),
  ];
  const each = (part: (i: number) => Code): Code =>
    Array.from({ length: groupSize }, (_, i) => part(i)).flat();
  return f.build(
    'score',
    repeat(
      vectors,
      lowest.set(v128.load(min.get)),
      highest.set(v128.load(max.get)),
      s.set(v128.load(scale.get)),
      z.set(v128.load(zero.get)),
      each(quantize),
      ...totals.map((total) => total.set(v128.zero)),
      each(addRow),
      v128.store(out.get, totals[0].get),
      v128.store(out.get, totals[1].get, 16),
      ...[min, max, scale, zero].map((at) => at.step(i32.const(16))),
      out.step(i32.const(ERROR_BYTES)),
    ),
  );
}

function upperHalf(value: Code): Code {
  const lanes = Array.from({ length: 16 }, (_, i) => (i + 8) % 16);
  return i8x16.shuffle(value, value, lanes);
}
