import { SpeedqError, checkScheme, maxCode, schemeName } from '@speedq/format';
import type { BilevelScheme } from '@speedq/format';
import { withGradient } from './composites.ts';
import type { Graph, Tensor } from './graph.ts';
import * as op from './primitives.ts';
import { roundHalfToEven, roundToHalf } from './rounding.ts';

/**
 * The bilevel quantizer of @speedq/format as ONNX nodes, rounding for rounding, so that what is trained is
 * what is packed. Group statistics are [rows, groups, 1]; second-level ones [blocks, 1, groups].
 */

const MIN_SCALE = Math.fround(1e-5);
const MIN_DIVISOR = Math.fround(1e-9);
const MAX_SCALE_CODE = 15;
const FLOAT_MAX = 3.4028234663852886e38;

export interface FakeQuantizeOptions {
  /** The reference implementation's float32 arithmetic, flaws included. */
  readonly reference?: boolean;
  /** Searched bounds [rows, columns/groupSize] that weights are clamped into, instead of each group's own. */
  readonly range?: { readonly min: Tensor; readonly max: Tensor };
}

/**
 * weight [rows, columns] quantized and dequantized again. The gradient is the straight-through estimator:
 * it passes where −s'·z ≤ w ≤ s'·(qmax − z), or −μ' ≤ w ≤ s'·qmax − μ', and scales and zero points get none.
 * Throws `shape-mismatch` where the scheme does not divide the shape, `unsupported` for a reference of minima. Non-finite weights and scales beyond
 * fp16 are not detected here, packing refuses them.
 */
export function fakeQuantize(
  g: Graph,
  weight: Tensor,
  scheme: BilevelScheme,
  { reference = false, range }: FakeQuantizeOptions = {},
): Tensor {
  checkScheme(scheme, weight.shape as number[], weight.name);
  const [rows, columns] = weight.shape as number[];
  const groups = columns / scheme.groupSize;
  const byGroup = op.reshape(g, weight, [rows, groups, scheme.groupSize]);
  const bound = (tensor: Tensor) => op.reshape(g, tensor, [rows, groups, 1]);
  const min = range ? bound(range.min) : op.reduceMin(g, byGroup, [-1]);
  const max = range ? bound(range.max) : op.reduceMax(g, byGroup, [-1]);
  const source = range ? clamp(g, byGroup, min, max) : byGroup;
  if (reference && scheme.zero === 'minimum') {
    throw new SpeedqError('unsupported', `The reference implementation has no ${schemeName(scheme)}.`);
  }
  const chosen = (scheme.zero === 'minimum' ? withMinimum : reference ? withReference : withZero)(
    g,
    min,
    max,
    scheme,
  );
  const code = op.clip(g, roundHalfToEven(g, chosen.position(source)), 0, maxCode(scheme));
  const values = op.reshape(g, chosen.value(code), weight.shape);
  return withGradient(g, values, [weight], (graph, _node, [dy]) => {
    const [low, high] = chosen.reach(graph);
    const inside = (condition: Tensor) => op.cast(graph, condition, 'float32');
    const passed = op.mul(
      graph,
      op.mul(graph, op.reshape(graph, dy!, byGroup.shape), inside(op.greaterOrEqual(graph, byGroup, low))),
      inside(op.lessOrEqual(graph, byGroup, high)),
    );
    return [op.reshape(graph, passed, weight.shape)];
  });
}

/** Between weights [rows, groups, groupSize] and codes, the way it is stored. */
interface Affine {
  /** Where a weight lies among the codes, before rounding. */
  position(weight: Tensor): Tensor;
  value(code: Tensor): Tensor;
  /** Values of the first and the last code. */
  reach(graph: Graph): readonly [low: Tensor, high: Tensor];
}

interface Chosen {
  /** Decoded scales s' and zero points, [rows, groups, 1]. */
  readonly scale: Tensor;
  readonly zero: Tensor;
}

function aroundZero(g: Graph, { scale, zero }: Chosen, divisor: Tensor, qmax: number): Affine {
  return {
    position: (weight) => op.add(g, op.div(g, weight, divisor), zero),
    value: (code) => op.mul(g, op.sub(g, code, zero), scale),
    reach: (graph) => [
      op.neg(graph, op.mul(graph, scale, zero)),
      op.mul(graph, scale, op.sub(graph, graph.scalar(qmax), zero)),
    ],
  };
}

function withZero(g: Graph, min: Tensor, max: Tensor, scheme: BilevelScheme): Affine {
  const chosen = choose(g, min, max, scheme);
  return aroundZero(g, chosen, chosen.scale, maxCode(scheme));
}

function withReference(g: Graph, min: Tensor, max: Tensor, scheme: BilevelScheme): Affine {
  const chosen = chooseReference(g, min, max, scheme);
  // A decoded scale is positive but for the reference's flaw.
  return aroundZero(g, chosen, op.clip(g, chosen.scale, MIN_DIVISOR, FLOAT_MAX), maxCode(scheme));
}

/** Minima first, then scales from the decoded minimum to the largest weight. */
function withMinimum(g: Graph, min: Tensor, max: Tensor, scheme: BilevelScheme): Affine {
  const qmax = maxCode(scheme);
  const blocks = blockShape(min, scheme);
  const depth = op.reshape(g, op.neg(g, op.clip(g, min, -FLOAT_MAX, 0)), blocks);
  const high = op.reshape(g, op.clip(g, max, 0, FLOAT_MAX), blocks);
  const step = (largest: Tensor) => roundToHalf(g, op.div(g, largest, MAX_SCALE_CODE));
  const minimum = step(op.reduceMax(g, depth, [1]));
  // A zero step multiplies whatever code comes out.
  const divisor = op.where(g, op.equal(g, minimum, 0), g.scalar(1), minimum);
  const begin = op.mul(g, minimum, scaleCode(g, op.div(g, depth, divisor)));
  const own = op.div(g, op.add(g, high, begin), qmax);
  const scaleStep = step(op.clip(g, op.reduceMax(g, own, [1]), MIN_SCALE, FLOAT_MAX));
  const code = op.clip(g, roundHalfToEven(g, op.div(g, own, scaleStep)), 1, MAX_SCALE_CODE);
  const scale = op.reshape(g, op.mul(g, scaleStep, code), min.shape);
  const offset = op.reshape(g, begin, min.shape);
  return {
    position: (weight) => op.div(g, op.add(g, weight, offset), scale),
    value: (code) => op.sub(g, op.mul(g, code, scale), offset),
    reach: (graph) => [
      op.neg(graph, offset),
      op.sub(graph, op.mul(graph, scale, graph.scalar(qmax)), offset),
    ],
  };
}

/** As stored: fp16 second-level step and minimum, zero inside the range, zero points from decoded scales. */
function choose(g: Graph, min: Tensor, max: Tensor, scheme: BilevelScheme): Chosen {
  const low = op.clip(g, min, -FLOAT_MAX, 0);
  const high = op.clip(g, max, 0, FLOAT_MAX);
  const spread = op.sub(g, high, low);
  const blocks = blockShape(min, scheme);
  const scale = op.reshape(g, op.clip(g, op.div(g, spread, maxCode(scheme)), MIN_SCALE, FLOAT_MAX), blocks);
  // An all-zero group decodes to zero at any scale and must not widen the others' range.
  const isZero = op.reshape(g, op.equal(g, spread, 0), blocks);
  const smallest = op.reduceMin(g, op.where(g, isZero, g.scalar(FLOAT_MAX), scale), [1]);
  const largest = op.reduceMax(g, op.where(g, isZero, g.scalar(0), scale), [1]);
  const allZero = op.equal(g, largest, 0);
  const first = op.where(g, allZero, g.scalar(MIN_SCALE), smallest);
  const last = op.where(g, allZero, g.scalar(MIN_SCALE), largest);

  const step = roundToHalf(g, op.div(g, op.sub(g, last, first), MAX_SCALE_CODE));
  const minimum = roundToHalf(g, first);
  // A zero step multiplies whatever code comes out, as long as that is finite.
  const divisor = op.where(g, op.equal(g, step, 0), g.scalar(1), step);
  const code = scaleCode(g, op.div(g, op.sub(g, scale, minimum), divisor));
  const decoded = op.reshape(g, op.add(g, op.mul(g, step, code), minimum), min.shape);
  const zero = roundHalfToEven(g, op.div(g, op.neg(g, low), decoded));
  return { scale: decoded, zero: op.clip(g, zero, 0, maxCode(scheme)) };
}

/** The reference: float32 second level with a float zero point, zero points from undecoded scales. */
function chooseReference(g: Graph, min: Tensor, max: Tensor, scheme: BilevelScheme): Chosen {
  const { low, high } = widened(g, min, max);
  const qmax = maxCode(scheme);
  const own = op.clip(g, op.div(g, op.sub(g, high, low), qmax), MIN_SCALE, FLOAT_MAX);
  const zero = op.clip(g, roundHalfToEven(g, op.div(g, op.neg(g, low), own)), 0, qmax);
  const scale = op.reshape(g, own, blockShape(min, scheme));
  const bounds = widened(g, op.reduceMin(g, scale, [1]), op.reduceMax(g, scale, [1]));
  const spread = op.sub(g, bounds.high, bounds.low);
  const step = op.clip(g, op.div(g, spread, MAX_SCALE_CODE), MIN_SCALE, FLOAT_MAX);
  const stepZero = op.div(g, op.neg(g, bounds.low), step);
  const code = scaleCode(g, op.add(g, op.div(g, scale, step), stepZero));
  return { scale: op.reshape(g, op.mul(g, step, op.sub(g, code, stepZero)), min.shape), zero };
}

/** Bounds, or ∓1 where they are equal. */
function widened(g: Graph, min: Tensor, max: Tensor) {
  const constant = op.equal(g, min, max);
  return { low: op.where(g, constant, g.scalar(-1), min), high: op.where(g, constant, g.scalar(1), max) };
}

const scaleCode = (g: Graph, x: Tensor) => op.clip(g, roundHalfToEven(g, x), 0, MAX_SCALE_CODE);

/** [rows, groups, 1] seen as [blocks, scaleGroupSize, groups]. */
function blockShape({ shape }: Tensor, { scaleGroupSize }: BilevelScheme): number[] {
  const [rows, groups] = shape as number[];
  return [rows / scaleGroupSize, scaleGroupSize, groups];
}

function clamp(g: Graph, x: Tensor, low: Tensor, high: Tensor): Tensor {
  const raised = op.where(g, op.lessOrEqual(g, x, low), low, x);
  return op.where(g, op.greaterOrEqual(g, raised, high), high, raised);
}
