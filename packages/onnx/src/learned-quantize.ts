import { SpeedqError, checkScheme, maxCode } from '@speedq/format';
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
 * weight [rows, columns] under wanted scales and zero points, [rows, columns/groupSize] each, quantized and
 * dequantized. With v = w/s + z: inside the codes dŵ/dw = 1, dŵ/ds = q − v, dŵ/dz = 0; outside dŵ/dw = 0,
 * dŵ/ds = q − z, dŵ/dz = −s. Throws `shape-mismatch` where the scheme does not divide the shape, `unsupported` for
 * schemes with minima.
 */
export function learnedQuantize(
  g: Graph,
  weight: Tensor,
  scale: Tensor,
  zero: Tensor,
  scheme: BilevelScheme,
): Tensor {
  checkScheme(scheme, weight.shape as number[], weight.name);
  if (scheme.zero === 'minimum') {
    throw new SpeedqError(
      'unsupported',
      `${weight.name}: scales are learned with integer zero points only. Choose a scheme without minima, or another method.`,
    );
  }
  const [rows, columns] = weight.shape as number[];
  const groups = columns / scheme.groupSize;
  const perGroup = [rows, groups, 1];
  const byGroup = op.reshape(g, weight, [rows, groups, scheme.groupSize]);
  const qmax = maxCode(scheme);
  const s = decodedScale(g, scale, scheme, perGroup);
  const z = op.clip(g, roundHalfToEven(g, op.reshape(g, zero, perGroup)), 0, qmax);
  const position = op.add(g, op.div(g, byGroup, s), z);
  const code = op.clip(g, roundHalfToEven(g, position), 0, qmax);
  const centred = op.sub(g, code, z);
  const values = op.reshape(g, op.mul(g, centred, s), weight.shape);
  return withGradient(g, values, [weight, scale, zero], (graph, _node, [dy]) => {
    const upstream = op.reshape(graph, dy!, byGroup.shape);
    const inside = op.mul(
      graph,
      op.cast(graph, op.greaterOrEqual(graph, position, 0), 'float32'),
      op.cast(graph, op.lessOrEqual(graph, position, qmax), 'float32'),
    );
    const passed = op.mul(graph, upstream, inside);
    const outside = op.sub(graph, upstream, passed);
    const toGroup = (x: Tensor) => op.reshape(graph, op.reduceSum(graph, x, [-1]), scale.shape);
    const slope = op.add(
      graph,
      op.mul(graph, passed, op.sub(graph, code, position)),
      op.mul(graph, outside, centred),
    );
    const shift = op.mul(graph, op.neg(graph, s), op.reduceSum(graph, outside, [-1]));
    return [op.reshape(graph, passed, weight.shape), toGroup(slope), op.reshape(graph, shift, zero.shape)];
  });
}

/** The scale that is stored for the wanted one. */
function decodedScale(
  g: Graph,
  scale: Tensor,
  { scaleGroupSize }: BilevelScheme,
  [rows, groups]: readonly number[],
): Tensor {
  const wanted = op.reshape(g, op.clip(g, scale, MIN_SCALE, FLOAT_MAX), [
    rows / scaleGroupSize,
    scaleGroupSize,
    groups,
  ]);
  const smallest = op.reduceMin(g, wanted, [1]);
  const spread = op.sub(g, op.reduceMax(g, wanted, [1]), smallest);
  const step = roundToHalf(g, op.div(g, spread, MAX_SCALE_CODE));
  const minimum = roundToHalf(g, smallest);
  // A zero step multiplies whatever code comes out, as long as that is finite.
  const divisor = op.where(g, op.equal(g, step, 0), g.scalar(1), step);
  const code = op.clip(
    g,
    roundHalfToEven(g, op.div(g, op.sub(g, wanted, minimum), divisor)),
    0,
    MAX_SCALE_CODE,
  );
  return op.reshape(g, op.add(g, op.mul(g, step, code), minimum), [rows, groups, 1]);
}
