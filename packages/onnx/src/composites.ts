import type { Graph, GradientRule, Tensor } from './graph.ts';
import { reduceTo } from './autodiff.ts';
import * as op from './primitives.ts';

/**
 * Operations of several nodes whose backward formula is cheaper, or rounder, than what
 * differentiating each node would give. Rows are the last-but-one axis, features the last.
 */

/** Makes `output` differentiate to `inputs` by `rule` instead of through the nodes that computed it. */
export function withGradient(
  g: Graph,
  output: Tensor,
  inputs: readonly Tensor[],
  rule: GradientRule,
): Tensor {
  return g.node('Identity', [output], output.shape, {
    gradient: rule,
    gradientInputs: inputs,
  });
}

/** exact GELU, x·Φ(x). */
export function gelu(g: Graph, x: Tensor): Tensor {
  const cdf = op.mul(g, op.add(g, op.erf(g, op.mul(g, x, Math.SQRT1_2)), 1), 0.5);
  const y = op.mul(g, x, cdf);
  return withGradient(g, y, [x], (graph, _node, [dy]) => {
    const density = op.mul(
      graph,
      op.exp(graph, op.mul(graph, op.mul(graph, x, x), -0.5)),
      1 / Math.sqrt(2 * Math.PI),
    );
    return [op.mul(graph, dy!, op.add(graph, cdf, op.mul(graph, x, density)))];
  });
}

/** x·σ(x). */
export function silu(g: Graph, x: Tensor): Tensor {
  const gate = op.sigmoid(g, x);
  const y = op.mul(g, x, gate);
  return withGradient(g, y, [x], (graph, _node, [dy]) => {
    const slope = op.add(graph, gate, op.sub(graph, y, op.mul(graph, y, gate)));
    return [op.mul(graph, dy!, slope)];
  });
}

/** (x-μ)/√(σ²+ε)·w + b over the features. */
export function layerNorm(g: Graph, x: Tensor, weight: Tensor, bias: Tensor, epsilon: number): Tensor {
  const stats = x.shape.map((dim, i) => (i === x.shape.length - 1 ? 1 : dim));
  const [y, mean, inverse] = g.multi(
    'LayerNormalization',
    [x, weight, bias],
    [x, { shape: stats, type: 'float32' }, { shape: stats, type: 'float32' }],
    { attributes: { axis: -1, epsilon: { float: epsilon } } },
  );
  return withGradient(g, y, [x, weight, bias], (graph, _node, [dy]) => {
    const normed = op.mul(graph, op.sub(graph, x, mean), inverse);
    const dn = op.mul(graph, dy!, weight);
    return [
      normBackward(graph, op.sub(graph, dn, meanOf(graph, dn)), dn, normed, inverse),
      reduceTo(graph, op.mul(graph, dy!, normed), weight.shape),
      reduceTo(graph, dy!, bias.shape),
    ];
  });
}

/**
 * x/√(mean(x²)+ε)·w. Composed: SimplifiedLayerNormalization's second output differs between
 * onnxruntime's CPU and WebGPU providers.
 */
export function rmsNorm(g: Graph, x: Tensor, weight: Tensor, epsilon: number): Tensor {
  const meanSquare = op.reduceMean(g, op.mul(g, x, x), [-1]);
  const inverse = op.div(g, g.scalar(1), op.sqrt(g, op.add(g, meanSquare, epsilon)));
  const normed = op.mul(g, x, inverse);
  return withGradient(g, op.mul(g, normed, weight), [x, weight], (graph, _node, [dy]) => {
    const dn = op.mul(graph, dy!, weight);
    return [
      normBackward(graph, dn, dn, normed, inverse),
      reduceTo(graph, op.mul(graph, dy!, normed), weight.shape),
    ];
  });
}

const meanOf = (g: Graph, x: Tensor) => op.reduceMean(g, x, [-1]);

/** inverse · (direct − normed · mean(dn · normed)). */
function normBackward(g: Graph, direct: Tensor, dn: Tensor, normed: Tensor, inverse: Tensor): Tensor {
  const projection = op.mul(g, normed, meanOf(g, op.mul(g, dn, normed)));
  return op.mul(g, inverse, op.sub(g, direct, projection));
}

/**
 * softmax(q·kᵀ/√d + mask)·v. q [batch, kv, rows, d], kTransposed [batch, kv, d, length],
 * v [batch, kv, length, d]; the mask is added (0 or a large negative) and broadcast.
 */
export function scaledAttention(
  g: Graph,
  q: Tensor,
  kTransposed: Tensor,
  v: Tensor,
  mask?: Tensor,
  observe?: (probabilities: Tensor) => void,
): Tensor {
  const headDim = q.shape.at(-1) as number;
  // Scaling q rather than the scores touches length/d times fewer numbers.
  const scores = op.matmul(g, op.mul(g, q, 1 / Math.sqrt(headDim)), kTransposed);
  const probabilities = op.softmax(g, mask ? op.add(g, scores, mask) : scores);
  observe?.(probabilities);
  return op.matmul(g, probabilities, v);
}

/** Half-split rotary embedding of x [batch, rows, heads, d]; cos and sin [batch, rows, 1, d/2]. */
export function rotate(g: Graph, x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  const half = (x.shape.at(-1) as number) / 2;
  const [low, high] = op.split(g, x, [half, half], -1);
  return op.concat(
    g,
    [
      op.sub(g, op.mul(g, low, cos), op.mul(g, high, sin)),
      op.add(g, op.mul(g, high, cos), op.mul(g, low, sin)),
    ],
    -1,
  );
}
