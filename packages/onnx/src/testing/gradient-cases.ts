import { gelu, layerNorm, rmsNorm, rotate, scaledAttention, silu } from '../composites.ts';
import { crossEntropy, distillation, logSoftmax } from '../losses.ts';
import * as op from '../primitives.ts';
import { rotaryTable } from '../rotary.ts';
import { REALISTIC, SMALL, indices } from './gradient-case.ts';
import type { GradientCase, Sizes } from './gradient-case.ts';
import { opsGradientCases } from './ops-gradient-cases.ts';
import { randomNormals } from './random.ts';

const primitives = ({ hidden, narrow, rows }: Sizes): GradientCase[] => [
  {
    name: 'Add, broadcast rows and scalars',
    inputs: { a: [[300, 96]], b: [[96]], c: [[300, 1]], d: [[]] },
    build: (g, { a, b, c, d }) => op.add(g, op.add(g, op.add(g, a, b), c), d),
  },
  {
    name: 'Sub, both operands broadcast',
    inputs: { a: [[5, 1, 96]], b: [[1, 60, 96]] },
    build: (g, { a, b }) => op.sub(g, a, b),
  },
  {
    name: 'Mul, both operands broadcast',
    inputs: { a: [[300, 96]], b: [[96]], c: [[300, 1]] },
    build: (g, { a, b, c }) => op.mul(g, op.mul(g, a, b), c),
  },
  {
    name: 'Mul, a tensor by itself',
    inputs: { a: [[300, 96]] },
    build: (g, { a }) => op.mul(g, a, a),
  },
  {
    name: 'Div, broadcast divisor and dividend',
    inputs: { a: [[300, 96]], b: [[300, 1], 'positive'], c: [[1, 96]] },
    build: (g, { a, b, c }) => op.div(g, op.add(g, op.div(g, a, b), c), op.add(g, b, 1)),
  },
  { name: 'Neg, Exp', inputs: { a: [[300, 97]] }, build: (g, { a }) => op.exp(g, op.neg(g, a)) },
  {
    name: 'Log, Sqrt',
    inputs: { a: [[300, 97], 'positive'] },
    build: (g, { a }) => op.add(g, op.log(g, a), op.sqrt(g, a)),
  },
  { name: 'Sigmoid', inputs: { a: [[300, 97], 'normal', 3] }, build: (g, { a }) => op.sigmoid(g, a) },
  { name: 'Softmax', inputs: { a: [[4, 6, 50, 76], 'normal', 2] }, build: (g, { a }) => op.softmax(g, a) },
  {
    name: 'ReduceSum over several axes, and over an axis of one',
    inputs: { a: [[7, 1, 40, 33]] },
    build: (g, { a }) => op.mul(g, op.reduceSum(g, a, [0, 2]), op.reduceSum(g, op.mul(g, a, a), [1, 3])),
  },
  {
    name: 'ReduceMean',
    inputs: { a: [[70, 333]] },
    build: (g, { a }) => op.mul(g, op.reduceMean(g, a, [-1]), op.reduceMean(g, a, [0])),
  },
  {
    name: 'Reshape, Transpose',
    inputs: { a: [[24, 100]] },
    build: (g, { a }) => op.transpose(g, op.reshape(g, a, [4, 6, 10, 10]), [2, 0, 3, 1]),
  },
  {
    name: 'Expand',
    inputs: { a: [[1, 40, 1]] },
    build: (g, { a }) => op.expand(g, a, [12, 40, 30]),
  },
  {
    name: 'MatMul',
    inputs: { a: [[rows + 1, hidden]], b: [[hidden, narrow + 3]] },
    build: (g, { a, b }) => op.matmul(g, a, b),
  },
  {
    name: 'MatMul, batched and broadcast',
    inputs: { a: [[3, 2, 50, narrow]], b: [[2, narrow, 45]] },
    build: (g, { a, b }) => op.matmul(g, a, b),
  },
  {
    name: 'Gemm',
    inputs: { a: [[rows, hidden]], b: [[hidden, narrow]], bias: [[narrow]] },
    build: (g, { a, b, bias }) => op.gemm(g, a, b, { bias }),
  },
  {
    name: 'Gemm, right operand transposed',
    inputs: { a: [[rows, hidden]], b: [[narrow + 5, hidden]], bias: [[narrow + 5]] },
    build: (g, { a, b, bias }) => op.gemm(g, a, b, { bias, transB: true }),
  },
  {
    name: 'Gather with repeats',
    inputs: { table: [[120, 256]] },
    build: (g, { table }, feed) => op.gatherRows(g, table, indices(feed, 2000, 120)),
  },
  {
    name: 'Concat, Split with an unused part',
    inputs: { a: [[20, 7, 16]], b: [[20, 12, 16]] },
    build: (g, { a, b }) => {
      const [first, , last] = op.split(g, op.concat(g, [a, b, a], 1), [5, 9, 12], 1);
      return op.concat(g, [first, op.mul(g, last, last)], 1);
    },
  },
  {
    name: 'Pad',
    inputs: { a: [[6, 36, 64]] },
    build: (g, { a }) => op.padFront(g, op.padFront(g, a, 1, 1), 0, 3),
  },
  {
    name: 'Where, with broadcast branches',
    inputs: { a: [[300, 96]], b: [[96]] },
    build: (g, { a, b }, feed) =>
      op.where(g, op.greaterOrEqual(g, feed(randomNormals(28800, 4), [300, 96]), 0.3), a, b),
  },
];

const composites = ({ headDim }: Sizes): GradientCase[] => [
  { name: 'gelu', inputs: { x: [[304, 768], 'normal', 2] }, build: (g, { x }) => gelu(g, x) },
  { name: 'silu', inputs: { x: [[304, 640], 'normal', 2] }, build: (g, { x }) => silu(g, x) },
  {
    name: 'layerNorm',
    inputs: { x: [[290, 256], 'normal', 3], weight: [[256]], bias: [[256]] },
    build: (g, { x, weight, bias }) => layerNorm(g, x, weight, bias, 1e-6),
  },
  {
    name: 'rmsNorm',
    inputs: { x: [[304, 256], 'normal', 3], weight: [[256]] },
    build: (g, { x, weight }) => rmsNorm(g, x, weight, 1e-6),
  },
  {
    name: 'scaledAttention',
    inputs: { q: [[2, 2, 60, headDim]], k: [[2, 2, headDim, 44]], v: [[2, 2, 44, headDim]] },
    build: (g, { q, k, v }) => scaledAttention(g, q, k, v),
  },
  {
    name: 'rotate',
    inputs: { x: [[2, 38, 4, 64]] },
    build: (g, { x }, feed) => {
      const { cos, sin } = rotaryTable(
        Array.from({ length: 76 }, (_, i) => i % 38),
        64,
        1e6,
      );
      return rotate(g, x, feed(cos, [2, 38, 1, 32]), feed(sin, [2, 38, 1, 32]));
    },
  },
  { name: 'logSoftmax', inputs: { x: [[60, 1536], 'normal', 3] }, build: (g, { x }) => logSoftmax(g, x) },
  {
    name: 'crossEntropy with label smoothing and a row that weighs nothing',
    inputs: { logits: [[60, 1536], 'normal', 3] },
    build: (g, { logits }, feed) => {
      const weights = Float32Array.from({ length: 60 }, (_, i) => (i === 7 ? 0 : 1 / (i + 1)));
      return crossEntropy(g, logits, indices(feed, 60, 1536), feed(weights, [60]), 0.1);
    },
  },
  {
    name: 'distillation with a balance of each row',
    inputs: { student: [[60, 1536], 'normal', 3] },
    build: (g, { student }, feed) => {
      const teacher = feed(randomNormals(60 * 1536, 12), [60, 1536]);
      const weights = Float32Array.from({ length: 60 }, (_, i) => (i === 7 ? 0 : 1 / (i + 1)));
      const gamma = Float32Array.from({ length: 60 }, (_, i) => i / 59);
      return distillation(g, student, teacher, feed(weights, [60]), feed(gamma, [60]));
    },
  },
];

/** Every differentiable operator, composite and method of Ops. `small` is for software adapters. */
export function gradientCases({ small = false } = {}): GradientCase[] {
  const sizes = small ? SMALL : REALISTIC;
  return [...primitives(sizes), ...composites(sizes), ...opsGradientCases(sizes)];
}
