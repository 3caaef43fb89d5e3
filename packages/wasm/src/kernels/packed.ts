import {
  F32,
  FunctionBuilder,
  I32,
  V128,
  f32,
  f32x4,
  i16x8,
  i32,
  i32x4,
  i8x16,
  repeat,
  select,
  v128,
} from '../assembler.ts';
import type { Code, KernelFunction, Local } from '../assembler.ts';
import { SYMMETRIC_ZERO } from '../weights/packed-matrix.ts';
import type { PackedMatrix } from '../weights/packed-matrix.ts';

/**
 * Products with packed weights. Activations are rounded to 16 bits per group of columns (an error of 2⁻¹⁶ of the
 * group's largest value), so that one instruction multiplies eight codes and adds pairs exactly in 32 bits.
 *
 * Codes stand in panels of four rows (`weights/packed-matrix.ts`): an i32 lane belongs to a row, its two halves to an
 * even and an odd column, and each shift by `bits` brings the next pair of columns.
 */

/** Rows of activations that one pass over the weights serves. */
export const ROW_TILE = 4;

/** Largest magnitude of a rounded activation: with codes of 4 bits, 128 columns add up below 2³¹. */
const LARGEST = 32767;

/**
 * quantize(x, out, scales, sums, groups, vectors, stride): one row of float32 in groups of 4·vectors columns. Pairs of
 * values go to `out`, a scale per group to `scales` and the sum of the rounded values to `sums`, all of them every
 * `stride` bytes.
 */
export function quantizeKernel(): KernelFunction {
  const f = new FunctionBuilder();
  const [x, out, scales, sums, groups, vectors, stride] = Array.from({ length: 7 }, () => f.parameter());
  const [at, count] = f.locals(2, I32);
  const [most, inverse, values, sum] = f.locals(4, V128);
  const largest = f.local(F32);
  const lanes = (of: Local): Code[] => [0, 1, 2, 3].map((index) => f32x4.lane(of.get, index));
  return f.build(
    'quantize',
    repeat(
      groups,
      most.set(v128.zero),
      at.set(x.get),
      count.set(vectors.get),
      repeat(count, most.set(f32x4.max(most.get, f32x4.abs(v128.load(at.get)))), at.step(i32.const(16))),
      largest.set(lanes(most).reduce((a, b) => f32.max(a, b))),
      inverse.set(
        f32x4.splat(
          select(
            f32.div(f32.const(LARGEST), largest.get),
            f32.const(0),
            f32.gt(largest.get, f32.const(1e-30)),
          ),
        ),
      ),
      largest.set(f32.mul(largest.get, f32.const(1 / LARGEST))),
      sum.set(v128.zero),
      count.set(vectors.get),
      repeat(
        count,
        values.set(f32x4.nearest(f32x4.mul(v128.load(x.get), inverse.get))),
        sum.set(f32x4.add(sum.get, values.get)),
        values.set(i32x4.truncate(values.get)),
        values.set(i16x8.narrow(values.get, values.get)),
        i32.store(out.get, i32x4.lane(values.get, 0)),
        out.step(stride.get),
        i32.store(out.get, i32x4.lane(values.get, 1)),
        out.step(stride.get),
        x.step(i32.const(16)),
      ),
      f32.store(scales.get, largest.get),
      f32.store(
        sums.get,
        f32.mul(
          lanes(sum).reduce((a, b) => f32.add(a, b)),
          largest.get,
        ),
      ),
      scales.step(stride.get),
      sums.step(stride.get),
    ),
  );
}

interface Scales {
  /** Per group: sets row scales [4 × f32], and zero points [8 × i16] or offsets [4 × f32], where the pointers stand. */
  readonly decode: Code;
  /** Bytes that `scales` moves per group, and `blocks` per group. */
  readonly scaleBytes: number;
  readonly blockBytes: number;
}

/** A byte per row: scale code + 16 · zero point; step and minimum, float32, per block. */
function bilevelScales(
  kind: 'integer' | 'minimum',
  scales: Local,
  blocks: Local,
  scale: Local,
  zero: Local,
  bytes: Local,
): Scales {
  // Bytes 0 to 3 are the rows'; 16 is a zero of the second operand.
  const intoWords = [0, 1, 2, 3].flatMap((row) => [row, 16, 16, 16]);
  const intoHalves = [0, 1, 2, 3].flatMap((row) => [row, 16, row, 16]);
  const [step, minimum] = [v128.load32Splat(blocks.get), v128.load32Splat(blocks.get, 4)];
  const words = i8x16.shuffle(bytes.get, v128.zero, intoWords);
  const scaled = f32x4.mul(f32x4.convert(scale.get), step);
  return {
    decode: [
      ...bytes.set(v128.load32Zero(scales.get)),
      ...scale.set(v128.and(words, i32x4.splat(i32.const(15)))),
      ...scale.set(kind === 'integer' ? f32x4.add(scaled, minimum) : scaled),
      ...zero.set(
        kind === 'integer'
          ? i16x8.shrU(i8x16.shuffle(bytes.get, v128.zero, intoHalves), 4)
          : f32x4.mul(f32x4.convert(i32x4.shrU(words, 4)), minimum),
      ),
    ],
    scaleBytes: 4,
    blockBytes: 8,
  };
}

/** A float32 scale per row; the zero point is always the same. */
function symmetricScales(scales: Local, scale: Local, zero: Local): Scales {
  return {
    decode: [...scale.set(v128.load(scales.get)), ...zero.set(i16x8.splat(i32.const(SYMMETRIC_ZERO)))],
    scaleBytes: 16,
    blockBytes: 0,
  };
}

/**
 * name(codes, scales, blocks, x, xScales, xSums, bias, y, panels, groups, vectors, blockShift, yStride, tiles): rows of
 * `y`, each `yStride` bytes from the one before, get x · Wᵀ + bias. `vectors` are those of codes in a group; `x`,
 * `xScales` and `xSums` are what `quantize` left with a stride of 4 · rows.
 */
export function packedKernel(
  name: string,
  { kind, bits, rows }: { kind: PackedMatrix['kind']; bits: 2 | 4; rows: 1 | typeof ROW_TILE },
): KernelFunction {
  const f = new FunctionBuilder();
  const [codes, scales, blocks, x, xScales, xSums, bias, y] = Array.from({ length: 8 }, () => f.parameter());
  const [panels, groups, vectors, blockShift, yStride, tiles] = Array.from({ length: 6 }, () =>
    f.parameter(),
  );
  const [tile, group, count, code, scaleAt, blockAt, xAt, xScaleAt, xSumAt, target, panel] = f.locals(
    11,
    I32,
  );
  const [scale, zero, bytes, packed, weights] = f.locals(5, V128);
  const sums = f.locals(rows, V128);
  const totals = f.locals(rows, V128);
  const { decode, scaleBytes, blockBytes } =
    kind === 'symmetric'
      ? symmetricScales(scaleAt, scale, zero)
      : bilevelScales(kind, scaleAt, blockAt, scale, zero, bytes);
  const steps = 16 / bits;
  const mask = i16x8.splat(i32.const(2 ** bits - 1));

  const columnPairs = Array.from({ length: steps }, (_, step) => {
    const shifted = i16x8.shrU(packed.get, step * bits);
    const codesOfPair = step === steps - 1 ? shifted : v128.and(shifted, mask);
    return [
      ...weights.set(kind === 'minimum' ? codesOfPair : i16x8.sub(codesOfPair, zero.get)),
      ...sums.flatMap((sum, row) => {
        const activations = v128.load32Splat(xAt.get, (step * rows + row) * 4);
        return sum.set(i32x4.add(sum.get, i32x4.dot(activations, weights.get)));
      }),
    ];
  }).flat();

  return f.build(
    name,
    panel.set(i32.const(0)),
    repeat(
      panels,
      xAt.set(x.get),
      xScaleAt.set(xScales.get),
      xSumAt.set(xSums.get),
      target.set(y.get),
      tile.set(tiles.get),
      repeat(
        tile,
        code.set(codes.get),
        scaleAt.set(scales.get),
        blockAt.set(
          i32.add(
            blocks.get,
            i32.mul(i32.shrU(panel.get, blockShift.get), i32.mul(groups.get, i32.const(blockBytes))),
          ),
        ),
        ...totals.map((total) => total.set(v128.load(bias.get))),
        group.set(groups.get),
        repeat(
          group,
          decode,
          ...sums.map((sum) => sum.set(v128.zero)),
          count.set(vectors.get),
          repeat(
            count,
            packed.set(v128.load(code.get)),
            columnPairs,
            code.step(i32.const(16)),
            xAt.step(i32.const(steps * rows * 4)),
          ),
          ...totals.map((total, row) => {
            const factor = f32x4.mul(scale.get, v128.load32Splat(xScaleAt.get, row * 4));
            const product = f32x4.add(total.get, f32x4.mul(f32x4.convert(sums[row].get), factor));
            if (kind !== 'minimum') return total.set(product);
            return total.set(f32x4.sub(product, f32x4.mul(zero.get, v128.load32Splat(xSumAt.get, row * 4))));
          }),
          scaleAt.step(i32.const(scaleBytes)),
          blockAt.step(i32.const(blockBytes)),
          xScaleAt.step(i32.const(rows * 4)),
          xSumAt.step(i32.const(rows * 4)),
        ),
        ...totals.map((total) => [...v128.store(target.get, total.get), ...target.step(yStride.get)]),
      ),
      codes.set(code.get),
      scales.set(scaleAt.get),
      bias.step(i32.const(16)),
      y.step(i32.const(16)),
      panel.step(i32.const(1)),
    ),
  );
}
