import type { Graph, Tensor } from './graph.ts';
import * as op from './primitives.ts';

/** 1.5·2^23: adding it leaves a float32 no fraction bits, and the addition itself rounds half to even. */
const ROUND = 12582912;

/**
 * Round half to even for |x| < 2^22; beyond, within 2 of x. Two additions, because ONNX's Round falls back
 * to the CPU on onnxruntime's WebGPU provider; no optimizer of onnxruntime reassociates float additions.
 */
export function roundHalfToEven(g: Graph, x: Tensor): Tensor {
  return op.sub(g, op.add(g, x, ROUND), ROUND);
}

/** Exponents of the normal fp16 numbers above the smallest, whose spacing subnormals share. */
const EXPONENTS = Array.from({ length: 29 }, (_, i) => i - 13);
const SUBNORMAL_SPACING = 2 ** -24;

/**
 * x ≥ 0 rounded to the nearest fp16 value, ties to even, as float32; larger than 65504 is not handled.
 * Composed, so that it runs on adapters without fp16: the spacing is looked up from the exponent by
 * comparisons and x rounded to a multiple of it, all exact in float32.
 */
export function roundToHalf(g: Graph, x: Tensor): Tensor {
  const broadcast = [...x.shape.map(() => 1), EXPONENTS.length];
  const row = (values: readonly number[]) => g.constant(Float32Array.from(values), broadcast);
  const column = op.reshape(g, x, [...x.shape, 1]);
  const reached = op.greaterOrEqual(g, column, row(EXPONENTS.map((exponent) => 2 ** exponent)));
  const spacings = op.where(
    g,
    reached,
    row(EXPONENTS.map((exponent) => 2 ** (exponent - 10))),
    g.scalar(SUBNORMAL_SPACING),
  );
  const spacing = op.reshape(g, op.reduceMax(g, spacings, [-1]), x.shape);
  const magic = op.mul(g, spacing, ROUND);
  return op.sub(g, op.add(g, x, magic), magic);
}
