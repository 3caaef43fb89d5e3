import { SpeedqError } from '@speedq/format';
import type { GradientRule, Graph, Shape, Tensor } from './graph.ts';
import * as op from './primitives.ts';

/**
 * Reverse-mode differentiation of a graph, emitting the backward pass into the same graph.
 * Shapes must be static. `seeds` are [tensor, gradient] pairs: a scalar loss with 1, or block outputs
 * with the gradients that arrive from the next block. Tensors no gradient reaches are undefined.
 */
export function differentiate(
  g: Graph,
  seeds: readonly (readonly [Tensor, Tensor])[],
  wanted: readonly Tensor[],
): (Tensor | undefined)[] {
  const end = g.nodes.length;
  const reachesWanted = dependents(g, wanted);
  const gradients = new Map<string, Tensor>();
  const accumulate = (tensor: Tensor, gradient: Tensor) => {
    const sum = gradients.get(tensor.name);
    gradients.set(tensor.name, sum ? op.add(g, sum, gradient) : gradient);
  };
  for (const [tensor, gradient] of seeds) accumulate(tensor, gradient);
  for (let i = end - 1; i >= 0; i--) {
    const node = g.nodes[i];
    const outputs = node.outputs.map((tensor) => gradients.get(tensor.name));
    if (outputs.every((gradient) => gradient === undefined)) continue;
    const inputs = node.gradientInputs ?? node.inputs;
    if (!inputs.some((tensor) => reachesWanted.has(tensor.name))) continue;
    const rule = node.gradient ?? rules[node.op];
    if (!rule) throw new SpeedqError('internal', `No gradient rule for ONNX operator ${node.op}; add one.`);
    rule(g, node, outputs).forEach((gradient, j) => {
      if (gradient && reachesWanted.has(inputs[j].name)) accumulate(inputs[j], gradient);
    });
  }
  return wanted.map((tensor) => gradients.get(tensor.name));
}

/** Names of the tensors that depend on any of `sources`, so that constants and masks get no backward nodes. */
function dependents(g: Graph, sources: readonly Tensor[]): Set<string> {
  const names = new Set(sources.map((tensor) => tensor.name));
  for (const node of g.nodes) {
    if (node.inputs.some((tensor) => names.has(tensor.name))) {
      for (const output of node.outputs) names.add(output.name);
    }
  }
  return names;
}

/** Sums a gradient over the axes its tensor was broadcast along. */
export function reduceTo(g: Graph, gradient: Tensor, shape: Shape): Tensor {
  const lead = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((dim, i) =>
    i < lead || (shape[i - lead] === 1 && dim !== 1) ? [i] : [],
  );
  if (axes.length === 0) return gradient;
  const reduced = op.reduceSum(g, gradient, axes);
  return lead > 0 ? op.reshape(g, reduced, shape) : reduced;
}

const one =
  (rule: (g: Graph, gradient: Tensor, inputs: readonly Tensor[], output: Tensor) => (Tensor | undefined)[]) =>
  (...[g, node, [gradient]]: Parameters<GradientRule>) =>
    rule(g, gradient!, node.inputs, node.outputs[0]);

const axesOf = (shape: Shape, reduced: Shape) =>
  shape.flatMap((dim, i) => (reduced[i] === 1 && dim !== 1 ? [i] : []));

/** Gradient of a matrix product with batch axes. */
const matmulRule = one((g, dy, [a, b]) => {
  const swap = (x: Tensor) => {
    const perm = x.shape.map((_, i) => i);
    [perm[perm.length - 2], perm[perm.length - 1]] = [perm.length - 1, perm.length - 2];
    return op.transpose(g, x, perm);
  };
  return [reduceTo(g, op.matmul(g, dy, swap(b)), a.shape), reduceTo(g, op.matmul(g, swap(a), dy), b.shape)];
});

const gemmRule: GradientRule = (g, node, [dy]) => {
  const [a, b, bias] = node.inputs;
  const { transA, transB } = node.attributes;
  if (transA) throw new SpeedqError('internal', 'Gemm with transA is only used in backward passes.');
  return [
    op.gemm(g, dy!, b, { transB: !transB }),
    transB ? op.gemm(g, dy!, a, { transA: true }) : op.gemm(g, a, dy!, { transA: true }),
    bias && reduceTo(g, dy!, bias.shape),
  ];
};

/**
 * Rows of a table gathered with repeats: their gradients add up. ScatterElements, since
 * onnxruntime's multi-threaded ScatterND(add) races on duplicate indices.
 */
const gatherRule = one((g, dy, [table, indices]) => {
  const [rows, ...rest] = table.shape as number[];
  const width = rest.reduce((product, dim) => product * dim, 1);
  const count = (indices.shape as number[]).reduce((product, dim) => product * dim, 1);
  const zeros = op.expand(g, g.constant(Float32Array.of(0), [1, 1]), [rows, width]);
  const index = op.expand(g, op.reshape(g, indices, [count, 1]), [count, width]);
  const scattered = g.node(
    'ScatterElements',
    [zeros, index, op.reshape(g, dy, [count, width])],
    [rows, width],
    { attributes: { axis: 0, reduction: 'add' } },
  );
  return [op.reshape(g, scattered, table.shape), undefined];
});

const rules: Record<string, GradientRule> = {
  Identity: one((_g, dy) => [dy]),
  Add: one((g, dy, [a, b]) => [reduceTo(g, dy, a.shape), reduceTo(g, dy, b.shape)]),
  Sub: one((g, dy, [a, b]) => [reduceTo(g, dy, a.shape), reduceTo(g, op.neg(g, dy), b.shape)]),
  Mul: one((g, dy, [a, b]) => [
    reduceTo(g, op.mul(g, dy, b), a.shape),
    reduceTo(g, op.mul(g, dy, a), b.shape),
  ]),
  Div: one((g, dy, [a, b], y) => {
    const da = op.div(g, dy, b);
    return [reduceTo(g, da, a.shape), reduceTo(g, op.neg(g, op.mul(g, da, y)), b.shape)];
  }),
  Neg: one((g, dy) => [op.neg(g, dy)]),
  Exp: one((g, dy, _inputs, y) => [op.mul(g, dy, y)]),
  Log: one((g, dy, [x]) => [op.div(g, dy, x)]),
  Sqrt: one((g, dy, _inputs, y) => [op.div(g, dy, op.mul(g, y, 2))]),
  Sigmoid: one((g, dy, _inputs, y) => [op.mul(g, dy, op.mul(g, y, op.sub(g, g.scalar(1), y)))]),
  Softmax: one((g, dy, _inputs, y) => {
    const weighted = op.mul(g, dy, y);
    const sum = op.reduceSum(g, weighted, [-1]);
    return [op.sub(g, weighted, op.mul(g, y, sum))];
  }),
  ReduceSum: one((g, dy, [x], y) => [spread(g, dy, x, y), undefined]),
  ReduceMean: one((g, dy, [x], y) => {
    const count = size(x.shape) / size(y.shape);
    return [spread(g, op.mul(g, dy, 1 / count), x, y), undefined];
  }),
  Reshape: one((g, dy, [x]) => [op.reshape(g, dy, x.shape), undefined]),
  Transpose: (g, node, [dy]) => {
    const perm = node.attributes.perm as readonly number[];
    return [
      op.transpose(
        g,
        dy!,
        perm.map((_, i) => perm.indexOf(i)),
      ),
    ];
  },
  Expand: one((g, dy, [x]) => [reduceTo(g, dy, x.shape), undefined]),
  MatMul: matmulRule,
  Gemm: gemmRule,
  Gather: gatherRule,
  Concat: (g, node, [dy]) => {
    const axis = node.attributes.axis as number;
    const sizes = node.inputs.map((tensor) => tensor.shape[axis] as number);
    return op.split(g, dy!, sizes, axis);
  },
  Split: (g, node, gradients) => {
    const parts = gradients.map(
      (gradient, i) =>
        gradient ??
        op.expand(
          g,
          op.reshape(
            g,
            g.scalar(0),
            node.outputs[i].shape.map(() => 1),
          ),
          node.outputs[i].shape as number[],
        ),
    );
    return [op.concat(g, parts, node.attributes.axis as number), undefined];
  },
  Pad: (g, node, [dy]) => {
    const axis = dy!.shape.findIndex((dim, i) => dim !== node.inputs[0].shape[i]);
    const kept = node.inputs[0].shape[axis] as number;
    return [op.split(g, dy!, [(dy!.shape[axis] as number) - kept, kept], axis)[1], undefined];
  },
  Where: one((g, dy, [condition, a, b]) => {
    const zero = g.scalar(0);
    return [
      undefined,
      reduceTo(g, op.where(g, condition, dy, zero), a.shape),
      reduceTo(g, op.where(g, condition, zero, dy), b.shape),
    ];
  }),
};

const size = (shape: Shape) => (shape as number[]).reduce((product, dim) => product * dim, 1);

/** The gradient of a reduction, back on the shape of what was reduced. */
function spread(g: Graph, dy: Tensor, x: Tensor, y: Tensor): Tensor {
  return axesOf(x.shape, y.shape).length === 0 ? dy : op.expand(g, dy, x.shape as number[]);
}
