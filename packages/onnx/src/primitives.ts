import type { Dim, ElementType, Graph, Shape, Tensor } from './graph.ts';

/**
 * ONNX operators as functions of a graph, with the shape inference autodiff needs. Only operators
 * that onnxruntime has on both its CPU and its WebGPU provider are used (Round excepted, see
 * fake-quantize.ts), so that one graph serves both.
 */

export function broadcast(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i): Dim => {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    return x === 1 ? y : x;
  });
}

const binary = (op: string) => (g: Graph, a: Tensor, b: Tensor | number) => {
  const right = typeof b === 'number' ? g.scalar(b) : b;
  return g.node(op, [a, right], broadcast(a.shape, right.shape));
};
export const add = binary('Add');
export const sub = binary('Sub');
export const mul = binary('Mul');
export const div = binary('Div');

const unary = (op: string) => (g: Graph, x: Tensor) => g.node(op, [x], x.shape);
export const neg = unary('Neg');
export const exp = unary('Exp');
export const log = unary('Log');
export const sqrt = unary('Sqrt');
export const erf = unary('Erf');
export const sigmoid = unary('Sigmoid');
export const floor = unary('Floor');

export function softmax(g: Graph, x: Tensor): Tensor {
  return g.node('Softmax', [x], x.shape, { attributes: { axis: -1 } });
}

export function cast(g: Graph, x: Tensor, type: ElementType): Tensor {
  const to = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9, float16: 10, float64: 11 }[type];
  return g.node('Cast', [x], x.shape, { attributes: { to }, type });
}

const comparison = (op: string) => (g: Graph, a: Tensor, b: Tensor | number) => {
  const right = typeof b === 'number' ? g.scalar(b) : b;
  return g.node(op, [a, right], broadcast(a.shape, right.shape), { type: 'bool' });
};
export const greaterOrEqual = comparison('GreaterOrEqual');
export const lessOrEqual = comparison('LessOrEqual');
export const equal = comparison('Equal');

export function where(g: Graph, condition: Tensor, a: Tensor, b: Tensor): Tensor {
  return g.node('Where', [condition, a, b], broadcast(condition.shape, broadcast(a.shape, b.shape)), {
    type: a.type,
  });
}

export function clip(g: Graph, x: Tensor, low: number, high: number): Tensor {
  return g.node('Clip', [x, g.scalar(low), g.scalar(high)], x.shape);
}

/** Reductions keep the reduced axes with length 1. */
const reduction = (op: string) => (g: Graph, x: Tensor, axes: readonly number[]) => {
  const positive = axes.map((axis) => (axis < 0 ? axis + x.shape.length : axis));
  const shape = x.shape.map((dim, i) => (positive.includes(i) ? 1 : dim));
  return g.node(op, [x, g.integers(positive)], shape, { attributes: { keepdims: 1 } });
};
export const reduceSum = reduction('ReduceSum');
export const reduceMean = reduction('ReduceMean');
export const reduceMax = reduction('ReduceMax');
export const reduceMin = reduction('ReduceMin');

/** At most one symbolic dimension in `shape`; onnxruntime infers it. */
export function reshape(g: Graph, x: Tensor, shape: Shape): Tensor {
  const dims = shape.map((dim) => (typeof dim === 'number' ? dim : -1));
  return g.node('Reshape', [x, g.integers(dims)], shape);
}

export function transpose(g: Graph, x: Tensor, perm: readonly number[]): Tensor {
  return g.node(
    'Transpose',
    [x],
    perm.map((axis) => x.shape[axis]),
    { attributes: { perm } },
  );
}

export function matmul(g: Graph, a: Tensor, b: Tensor): Tensor {
  const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2));
  return g.node('MatMul', [a, b], [...batch, a.shape.at(-2)!, b.shape.at(-1)!]);
}

/** a·b with either operand transposed, plus a bias row; both two-dimensional. No transposed copy is made. */
export function gemm(
  g: Graph,
  a: Tensor,
  b: Tensor,
  { bias, transA = false, transB = false }: { bias?: Tensor; transA?: boolean; transB?: boolean } = {},
): Tensor {
  const shape = [a.shape[transA ? 1 : 0], b.shape[transB ? 0 : 1]];
  return g.node('Gemm', bias ? [a, b, bias] : [a, b], shape, {
    attributes: { transA: transA ? 1 : 0, transB: transB ? 1 : 0 },
  });
}

export function concat(g: Graph, inputs: readonly Tensor[], axis: number, length?: Dim): Tensor {
  const at = axis < 0 ? axis + inputs[0].shape.length : axis;
  const total = length ?? inputs.reduce((sum, tensor) => sum + (tensor.shape[at] as number), 0);
  return g.node(
    'Concat',
    inputs,
    inputs[0].shape.map((dim, i) => (i === at ? total : dim)),
    { attributes: { axis: at } },
  );
}

export function split(g: Graph, x: Tensor, sizes: readonly number[], axis: number): Tensor[] {
  const at = axis < 0 ? axis + x.shape.length : axis;
  return g.multi(
    'Split',
    [x, g.integers(sizes)],
    sizes.map((size) => ({ shape: x.shape.map((dim, i) => (i === at ? size : dim)), type: x.type })),
    { attributes: { axis: at } },
  );
}

/** Rows of `table` ([n, …]) at the integer positions `indices` (any shape). */
export function gatherRows(g: Graph, table: Tensor, indices: Tensor): Tensor {
  return g.node('Gather', [table, indices], [...indices.shape, ...table.shape.slice(1)], {
    attributes: { axis: 0 },
    type: table.type,
  });
}

export function expand(g: Graph, x: Tensor, shape: readonly number[]): Tensor {
  return g.node('Expand', [x, g.integers(shape)], shape);
}

/** Zero rows in front along an axis. */
export function padFront(g: Graph, x: Tensor, axis: number, count: number): Tensor {
  const pads = new Array<number>(2 * x.shape.length).fill(0);
  pads[axis] = count;
  return g.node(
    'Pad',
    [x, g.integers(pads)],
    x.shape.map((dim, i) => (i === axis ? (dim as number) + count : dim)),
  );
}
