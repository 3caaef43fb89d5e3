import type { Graph, Node, Tensor } from '../graph.ts';

/** A value of the reference evaluator; booleans and integers are numbers too. */
export interface Array64 {
  readonly data: Float64Array;
  readonly shape: readonly number[];
}

/**
 * Evaluates tensors of a graph in float64, straight from the operators' definitions, as the reference that
 * onnxruntime's float32 results and the emitted gradients are compared with.
 */
export function evaluate64(
  g: Graph,
  wanted: readonly Tensor[],
  feeds: ReadonlyMap<string, Array64>,
): Array64[] {
  const values = new Map(feeds);
  for (const { tensor, data } of g.initializers.values()) {
    values.set(tensor.name, {
      data: Float64Array.from(data as ArrayLike<number>, Number),
      shape: tensor.shape as number[],
    });
  }
  const needed = new Set(wanted.map((tensor) => tensor.name));
  for (const node of [...g.nodes].reverse()) {
    if (node.outputs.some((tensor) => needed.has(tensor.name))) {
      for (const input of node.inputs) needed.add(input.name);
    }
  }
  for (const node of g.nodes) {
    if (!node.outputs.some((tensor) => needed.has(tensor.name))) continue;
    const operator = OPERATORS[node.op];
    if (!operator) throw new Error(`No float64 reference for the operator ${node.op}.`);
    const inputs = node.inputs.map((tensor) => {
      const value = values.get(tensor.name);
      if (!value) throw new Error(`The reference has no value of ${tensor.name}.`);
      return value;
    });
    operator(inputs, node).forEach((value, i) => values.set(node.outputs[i].name, value));
  }
  return wanted.map((tensor) => values.get(tensor.name)!);
}

const size = (shape: readonly number[]) => shape.reduce((product, dim) => product * dim, 1);

function strides(shape: readonly number[]): number[] {
  const result = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) result[i] = result[i + 1] * shape[i + 1];
  return result;
}

/** Strides of an array seen with a larger shape: 0 along axes it is broadcast over. */
function broadcastStrides(shape: readonly number[], rank: number): number[] {
  const own = strides(shape).map((stride, i) => (shape[i] === 1 ? 0 : stride));
  return [...new Array<number>(rank - shape.length).fill(0), ...own];
}

/** Calls `visit` with the flat output index and the offset under each set of strides. */
function walk(
  shape: readonly number[],
  steps: readonly number[][],
  visit: (at: number, offsets: number[]) => void,
) {
  const index = shape.map(() => 0);
  const offsets = steps.map(() => 0);
  const total = size(shape);
  for (let at = 0; at < total; at++) {
    visit(at, offsets);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]++;
      steps.forEach((step, i) => (offsets[i] += step[axis]));
      if (index[axis] < shape[axis]) break;
      steps.forEach((step, i) => (offsets[i] -= step[axis] * shape[axis]));
      index[axis] = 0;
    }
  }
}

type Operator = (inputs: readonly Array64[], node: Node) => Array64[];

const elementwise =
  (compute: (a: number, b: number, c: number) => number): Operator =>
  (inputs) => {
    const rank = Math.max(...inputs.map(({ shape }) => shape.length));
    const shape = Array.from({ length: rank }, (_, i) =>
      Math.max(...inputs.map((input) => input.shape[input.shape.length - rank + i] ?? 1)),
    );
    const data = new Float64Array(size(shape));
    const steps = inputs.map((input) => broadcastStrides(input.shape, rank));
    const [a, b, c] = inputs;
    walk(shape, steps, (at, [i, j, k]) => {
      data[at] = compute(a.data[i], b?.data[j], c?.data[k]);
    });
    return [{ data, shape }];
  };

const reduction =
  (combine: (values: number[]) => number): Operator =>
  ([x, axes]) => {
    const reduced = Array.from(axes.data);
    const shape = x.shape.map((dim, i) => (reduced.includes(i) ? 1 : dim));
    const step = strides(shape).map((stride, i) => (reduced.includes(i) ? 0 : stride));
    const cells = Array.from({ length: size(shape) }, (): number[] => []);
    walk(x.shape, [step], (at, [offset]) => cells[offset].push(x.data[at]));
    return [{ data: Float64Array.from(cells, combine), shape }];
  };

/** Rows of the last axis. */
const byRow =
  (compute: (row: Float64Array) => ArrayLike<number>): Operator =>
  ([x]) => {
    const width = x.shape.at(-1)!;
    const data = new Float64Array(x.data.length);
    for (let start = 0; start < data.length; start += width) {
      data.set(compute(x.data.subarray(start, start + width)), start);
    }
    return [{ data, shape: x.shape }];
  };

const reshaped = ({ data }: Array64, shape: readonly number[]): Array64 => {
  const known = shape.reduce((product, dim) => (dim < 0 ? product : product * dim), 1);
  return { data, shape: shape.map((dim) => (dim < 0 ? data.length / known : dim)) };
};

function transposed({ data, shape }: Array64, perm: readonly number[]): Array64 {
  const from = strides(shape);
  const target = perm.map((axis) => shape[axis]);
  const result = new Float64Array(data.length);
  walk(target, [perm.map((axis) => from[axis])], (at, [offset]) => (result[at] = data[offset]));
  return { data: result, shape: target };
}

function multiply(a: Array64, b: Array64): Array64 {
  const [m, k] = a.shape.slice(-2);
  const n = b.shape.at(-1)!;
  const rank = Math.max(a.shape.length, b.shape.length) - 2;
  const batch = Array.from({ length: rank }, (_, i) =>
    Math.max(a.shape[a.shape.length - 2 - rank + i] ?? 1, b.shape[b.shape.length - 2 - rank + i] ?? 1),
  );
  const data = new Float64Array(size(batch) * m * n);
  const steps = [a, b].map(({ shape }) => broadcastStrides(shape.slice(0, -2), rank));
  walk(batch, steps, (at, [offsetA, offsetB]) => {
    for (let i = 0; i < m; i++) {
      const row = data.subarray((at * m + i) * n, (at * m + i + 1) * n);
      for (let j = 0; j < k; j++) {
        const x = a.data[(offsetA * m + i) * k + j];
        const start = (offsetB * k + j) * n;
        for (let l = 0; l < n; l++) row[l] += x * b.data[start + l];
      }
    }
  });
  return { data, shape: [...batch, m, n] };
}

/** Pieces of x along an axis, by lengths. */
function pieces(x: Array64, axis: number, lengths: readonly number[]): Array64[] {
  const inner = size(x.shape.slice(axis + 1));
  const outer = size(x.shape.slice(0, axis));
  let start = 0;
  return lengths.map((length) => {
    const data = new Float64Array(outer * length * inner);
    for (let i = 0; i < outer; i++) {
      const from = (i * x.shape[axis] + start) * inner;
      data.set(x.data.subarray(from, from + length * inner), i * length * inner);
    }
    start += length;
    return { data, shape: x.shape.map((dim, i) => (i === axis ? length : dim)) };
  });
}

function joined(parts: readonly Array64[], axis: number): Array64 {
  const first = parts[0].shape;
  const length = parts.reduce((sum, part) => sum + part.shape[axis], 0);
  const inner = size(first.slice(axis + 1));
  const outer = size(first.slice(0, axis));
  const data = new Float64Array(outer * length * inner);
  let at = 0;
  for (let i = 0; i < outer; i++) {
    for (const part of parts) {
      const count = part.shape[axis] * inner;
      data.set(part.data.subarray(i * count, (i + 1) * count), at);
      at += count;
    }
  }
  return { data, shape: first.map((dim, i) => (i === axis ? length : dim)) };
}

/** erf by its Taylor series, and by the continued fraction of erfc where that converges faster. */
function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 2.5) {
    let term = a;
    let sum = a;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
      term *= (-a * a) / n;
      sum += term / (2 * n + 1);
    }
    return Math.sign(x) * sum * (2 / Math.sqrt(Math.PI));
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}

const sum = (values: ArrayLike<number>) => Array.from(values).reduce((total, value) => total + value, 0);

const OPERATORS: Record<string, Operator | undefined> = {
  Identity: ([x]) => [x],
  Cast: ([x]) => [x],
  Add: elementwise((a, b) => a + b),
  Sub: elementwise((a, b) => a - b),
  Mul: elementwise((a, b) => a * b),
  Div: elementwise((a, b) => a / b),
  Neg: elementwise((a) => -a),
  Exp: elementwise(Math.exp),
  Log: elementwise(Math.log),
  Sqrt: elementwise(Math.sqrt),
  Floor: elementwise(Math.floor),
  Erf: elementwise(erf),
  Sigmoid: elementwise((a) => 1 / (1 + Math.exp(-a))),
  Equal: elementwise((a, b) => Number(a === b)),
  GreaterOrEqual: elementwise((a, b) => Number(a >= b)),
  LessOrEqual: elementwise((a, b) => Number(a <= b)),
  Where: elementwise((condition, a, b) => (condition ? a : b)),
  Clip: elementwise((a, low, high) => Math.min(Math.max(a, low), high)),
  ReduceSum: reduction(sum),
  ReduceMean: reduction((values) => sum(values) / values.length),
  ReduceMax: reduction((values) => Math.max(...values)),
  ReduceMin: reduction((values) => Math.min(...values)),
  Softmax: byRow((row) => {
    const max = Math.max(...row);
    const powers = row.map((value) => Math.exp(value - max));
    const total = sum(powers);
    return powers.map((power) => power / total);
  }),
  LayerNormalization: (inputs, node) => {
    const { float: epsilon } = node.attributes.epsilon as { float: number };
    const [x, weight, bias] = inputs;
    const width = x.shape.at(-1)!;
    const [normed] = byRow((row) => {
      const mean = sum(row) / width;
      const variance = sum(row.map((value) => (value - mean) ** 2)) / width;
      return row.map((value) => (value - mean) / Math.sqrt(variance + epsilon));
    })([x], node);
    const affine = elementwise((value, w, b) => value * w + b);
    return affine([normed, weight, bias], node);
  },
  Reshape: ([x, shape]) => [reshaped(x, Array.from(shape.data))],
  Transpose: ([x], { attributes }) => [transposed(x, attributes.perm as number[])],
  MatMul: ([a, b]) => [multiply(a, b)],
  Gemm: ([a, b, bias], node) => {
    const { transA, transB } = node.attributes;
    const product = multiply(transA ? transposed(a, [1, 0]) : a, transB ? transposed(b, [1, 0]) : b);
    return bias ? elementwise((x, y) => x + y)([product, bias], node) : [product];
  },
  Concat: (inputs, { attributes }) => [joined(inputs, attributes.axis as number)],
  Split: ([x, lengths], { attributes }) => pieces(x, attributes.axis as number, Array.from(lengths.data)),
  Gather: ([table, indices]) => {
    const width = size(table.shape.slice(1));
    const data = new Float64Array(indices.data.length * width);
    indices.data.forEach((row, i) =>
      data.set(table.data.subarray(row * width, (row + 1) * width), i * width),
    );
    return [{ data, shape: [...indices.shape, ...table.shape.slice(1)] }];
  },
  Expand: ([x, shape], node) => {
    const zeros = { data: new Float64Array(size(Array.from(shape.data))), shape: Array.from(shape.data) };
    return elementwise((a, b) => a + b)([x, zeros], node);
  },
  Pad: ([x, pads]) => {
    const axis = Array.from(pads.data).findIndex((count) => count > 0);
    const shape = x.shape.map((dim, i) => (i === axis ? pads.data[axis] : dim));
    return [joined([{ data: new Float64Array(size(shape)), shape }, x], axis)];
  },
};
