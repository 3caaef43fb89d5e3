import { checkScheme, maxCode } from '@speedq/format';
import type { BilevelScheme } from '@speedq/format';
import { withGradient } from './composites.ts';
import type { Graph, Tensor } from './graph.ts';
import * as op from './primitives.ts';
import { roundHalfToEven, roundToHalf } from './rounding.ts';

/**
 * Quantization with learned scales and zero points: encodeScales of @speedq/format and the rounding of weights
 * under what it yields, as ONNX nodes, rounding for rounding. Gradients are those of LSQ (arXiv 1902.08153) and
 * LSQ+ (arXiv 2004.09576), straight through every rounding, the second level's included.
 */

const MIN_SCALE = Math.fround(1e-5);
const MAX_SCALE_CODE = 15;
const FLOAT_MAX = 3.4028234663852886e38;

/**
 * weight [rows, columns] under wanted scales and origins, [rows, columns/groupSize] each, quantized and dequantized;
 * origins are zero points, or in a scheme with minima how far below zero codes begin. With v = w/s + z, or
 * (w + μ)/s: inside the codes dŵ/dw = 1, dŵ/ds = q − v, and nothing for the origin; outside dŵ/dw = 0,
 * dŵ/ds = q − z (q), dŵ/dz = −s (dŵ/dμ = −1). Throws `shape-mismatch` where the scheme does not divide the shape.
 */
export function learnedQuantize(
  g: Graph,
  weight: Tensor,
  scale: Tensor,
  origin: Tensor,
  scheme: BilevelScheme,
): Tensor {
  checkScheme(scheme, weight.shape as number[], weight.name);
  const [rows, columns] = weight.shape as number[];
  const groups = columns / scheme.groupSize;
  const perGroup = [rows, groups, 1];
  const byGroup = op.reshape(g, weight, [rows, groups, scheme.groupSize]);
  const qmax = maxCode(scheme);
  const isMinimum = scheme.zero === 'minimum';
  const s = isMinimum ? multiples(g, scale, scheme, 1, MIN_SCALE) : decodedScale(g, scale, scheme);
  const z = isMinimum
    ? multiples(g, origin, scheme, 0, 0)
    : op.clip(g, roundHalfToEven(g, op.reshape(g, origin, perGroup)), 0, qmax);
  const position = isMinimum ? op.div(g, op.add(g, byGroup, z), s) : op.add(g, op.div(g, byGroup, s), z);
  const code = op.clip(g, roundHalfToEven(g, position), 0, qmax);
  const centred = isMinimum ? code : op.sub(g, code, z);
  const scaled = op.mul(g, centred, s);
  const values = op.reshape(g, isMinimum ? op.sub(g, scaled, z) : scaled, weight.shape);
  return withGradient(g, values, [weight, scale, origin], (graph, _node, [dy]) => {
    const upstream = op.reshape(graph, dy!, byGroup.shape);
    const inside = op.mul(
      graph,
      op.cast(graph, op.greaterOrEqual(graph, position, 0), 'float32'),
      op.cast(graph, op.lessOrEqual(graph, position, qmax), 'float32'),
    );
    const passed = op.mul(graph, upstream, inside);
    const outside = op.sub(graph, upstream, passed);
    const slope = op.add(
      graph,
      op.mul(graph, passed, op.sub(graph, code, position)),
      op.mul(graph, outside, centred),
    );
    const shift = op.neg(graph, op.reduceSum(graph, outside, [-1]));
    return [
      op.reshape(graph, passed, weight.shape),
      op.reshape(graph, op.reduceSum(graph, slope, [-1]), scale.shape),
      op.reshape(graph, isMinimum ? shift : op.mul(graph, s, shift), origin.shape),
    ];
  });
}

/** [rows, groups] seen as [blocks, scaleGroupSize, groups]. */
function byBlock(g: Graph, x: Tensor, { scaleGroupSize }: BilevelScheme): Tensor {
  const [rows, groups] = x.shape as number[];
  return op.reshape(g, x, [rows / scaleGroupSize, scaleGroupSize, groups]);
}

/** The scale that is stored for the wanted one: a second-level minimum and a multiple of a step. */
function decodedScale(g: Graph, scale: Tensor, scheme: BilevelScheme): Tensor {
  const wanted = byBlock(g, op.clip(g, scale, MIN_SCALE, FLOAT_MAX), scheme);
  const smallest = op.reduceMin(g, wanted, [1]);
  const spread = op.sub(g, op.reduceMax(g, wanted, [1]), smallest);
  const step = roundToHalf(g, op.div(g, spread, MAX_SCALE_CODE));
  const minimum = roundToHalf(g, smallest);
  const steps = op.div(g, op.sub(g, wanted, minimum), nonZero(g, step));
  const code = op.clip(g, roundHalfToEven(g, steps), 0, MAX_SCALE_CODE);
  return op.reshape(g, op.add(g, op.mul(g, step, code), minimum), [...scale.shape, 1]);
}

/** What is stored for wanted values that are multiples of a step, from `least` steps on. */
function multiples(g: Graph, x: Tensor, scheme: BilevelScheme, least: number, floor: number): Tensor {
  const wanted = byBlock(g, op.clip(g, x, floor, FLOAT_MAX), scheme);
  const step = roundToHalf(g, op.div(g, op.reduceMax(g, wanted, [1]), MAX_SCALE_CODE));
  const steps = op.div(g, wanted, nonZero(g, step));
  const code = op.clip(g, roundHalfToEven(g, steps), least, MAX_SCALE_CODE);
  return op.reshape(g, op.mul(g, step, code), [...x.shape, 1]);
}

/** A zero step multiplies whatever code comes out, as long as that is finite. */
function nonZero(g: Graph, step: Tensor): Tensor {
  return op.where(g, op.equal(g, step, 0), g.scalar(1), step);
}
