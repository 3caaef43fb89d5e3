import type { Norm } from '@speedq/model';
import { gelu, layerNorm, rmsNorm, rotate, scaledAttention, silu } from '../composites.ts';
import type { Graph, Tensor } from '../graph.ts';
import { crossEntropy, distillation, logSoftmax } from '../losses.ts';
import { OnnxOps } from '../onnx-ops.ts';
import type { OnnxOpsOptions } from '../onnx-ops.ts';
import * as op from '../primitives.ts';
import { MASKED, rotaryTable } from '../rotary.ts';
import { randomNormals, randomSource } from './random.ts';

type Kind = 'normal' | 'positive';
/** A differentiable input: its shape, and where its values must lie. */
export type Differentiable = readonly [shape: readonly number[], kind?: Kind, scale?: number];

export interface GradientCase {
  readonly name: string;
  /** Checked, each, against float64. */
  readonly inputs: Readonly<Record<string, Differentiable>>;
  readonly build: (g: Graph, inputs: Record<string, Tensor>) => Tensor;
}

export function inputValues([shape, kind = 'normal', scale = 1]: Differentiable, seed: number): Float32Array {
  const count = shape.reduce((product, dim) => product * dim, 1);
  const normals = randomNormals(count, seed);
  return normals.map((value) => scale * (kind === 'positive' ? 0.2 + Math.abs(value) : value));
}

/** Row numbers below `rows`, with many repeats. */
export function repeatedRows(count: number, rows: number, seed: number): BigInt64Array {
  const random = randomSource(seed);
  return BigInt64Array.from({ length: count }, () => BigInt(Math.floor(random() ** 2 * rows)));
}

const indices = (g: Graph, count: number, rows: number) => g.constant(repeatedRows(count, rows, 5), [count]);

const primitives: GradientCase[] = [
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
    inputs: { a: [[152, 256]], b: [[256, 130]] },
    build: (g, { a, b }) => op.matmul(g, a, b),
  },
  {
    name: 'MatMul, batched and broadcast',
    inputs: { a: [[3, 2, 50, 64]], b: [[2, 64, 45]] },
    build: (g, { a, b }) => op.matmul(g, a, b),
  },
  {
    name: 'Gemm',
    inputs: { a: [[300, 256]], b: [[256, 96]], bias: [[96]] },
    build: (g, { a, b, bias }) => op.gemm(g, a, b, { bias }),
  },
  {
    name: 'Gemm, right operand transposed',
    inputs: { a: [[300, 256]], b: [[200, 256]], bias: [[200]] },
    build: (g, { a, b, bias }) => op.gemm(g, a, b, { bias, transB: true }),
  },
  {
    name: 'Gather with repeats',
    inputs: { table: [[120, 256]] },
    build: (g, { table }) => op.gatherRows(g, table, indices(g, 2000, 120)),
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
    build: (g, { a, b }) =>
      op.where(g, op.greaterOrEqual(g, g.constant(randomNormals(28800, 4), [300, 96]), 0.3), a, b),
  },
];

const composites: GradientCase[] = [
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
    inputs: { q: [[2, 2, 60, 64]], k: [[2, 2, 64, 44]], v: [[2, 2, 44, 64]] },
    build: (g, { q, k, v }) => scaledAttention(g, q, k, v),
  },
  {
    name: 'rotate',
    inputs: { x: [[2, 38, 4, 64]] },
    build: (g, { x }) => {
      const { cos, sin } = rotaryTable(
        Array.from({ length: 76 }, (_, i) => i % 38),
        64,
        1e6,
      );
      return rotate(g, x, g.constant(cos, [2, 38, 1, 32]), g.constant(sin, [2, 38, 1, 32]));
    },
  },
  { name: 'logSoftmax', inputs: { x: [[60, 1536], 'normal', 3] }, build: (g, { x }) => logSoftmax(g, x) },
  {
    name: 'crossEntropy with label smoothing and a row that weighs nothing',
    inputs: { logits: [[60, 1536], 'normal', 3] },
    build: (g, { logits }) => {
      const weights = Float32Array.from({ length: 60 }, (_, i) => (i === 7 ? 0 : 1 / (i + 1)));
      return crossEntropy(g, logits, indices(g, 60, 1536), g.constant(weights, [60]), 0.1);
    },
  },
  {
    name: 'distillation',
    inputs: { student: [[60, 1536], 'normal', 3] },
    build: (g, { student }) => {
      const teacher = g.constant(randomNormals(60 * 1536, 12), [60, 1536]);
      const weights = Float32Array.from({ length: 60 }, (_, i) => (i === 7 ? 0 : 1 / (i + 1)));
      return distillation(g, student, teacher, g.constant(weights, [60]), g.scalar(0.3));
    },
  },
];

const HIDDEN = 256;
const TILES = 2;
const GRID = 6;
const TOKENS = GRID * GRID + 1;
const BATCH = 2;
const LENGTH = 52;
const HEADS = 4;
const KV_HEADS = 2;
const HEAD_DIM = 64;

/** Ops over inputs as parameters; two packed conversations a sequence, and padding at the end. */
function ops(
  g: Graph,
  inputs: Record<string, Tensor>,
  more: Partial<OnnxOpsOptions['language']> = {},
): OnnxOps {
  const { cos, sin } = rotaryTable(
    Array.from({ length: BATCH * LENGTH }, (_, i) => i % 26),
    HEAD_DIM,
    1e6,
  );
  const mask = new Float32Array(BATCH * LENGTH * LENGTH).fill(MASKED);
  for (let row = 0; row < BATCH * LENGTH; row++) {
    const t = row % LENGTH;
    for (let u = 0; u <= t; u++) if (u === t || (t < 50 && t >= 26 === u >= 26)) mask[row * LENGTH + u] = 0;
  }
  return new OnnxOps(g, {
    parameter: (name) => inputs[name],
    vision: { tiles: TILES, tokens: TOKENS },
    language: {
      batch: BATCH,
      length: LENGTH,
      cos: g.constant(cos, [BATCH, LENGTH, 1, HEAD_DIM / 2]),
      sin: g.constant(sin, [BATCH, LENGTH, 1, HEAD_DIM / 2]),
      mask: g.constant(mask, [BATCH, 1, LENGTH, LENGTH]),
      ...more,
    },
  });
}

const rms: Norm = { kind: 'rms', weight: 'norm', epsilon: 1e-6 };
const rows = BATCH * LENGTH;

const methods: GradientCase[] = [
  {
    name: 'Ops.patchEmbed',
    inputs: {
      pixels: [[TILES, 3, GRID * 14, GRID * 14]],
      weight: [[128, 3, 14, 14], 'normal', 0.05],
      bias: [[128]],
      classToken: [[1, 1, 128]],
      position: [[1, TOKENS, 128]],
    },
    build: (g, inputs) =>
      ops(g, inputs).patchEmbed(inputs.pixels, {
        weight: 'weight',
        bias: 'bias',
        classToken: 'classToken',
        position: 'position',
        patchSize: 14,
      }),
  },
  {
    name: 'Ops.normLinear, two linears on a layer norm, one with gelu',
    inputs: {
      x: [[TILES * TOKENS, HIDDEN]],
      norm: [[HIDDEN]],
      shift: [[HIDDEN]],
      w1: [[96, HIDDEN], 'normal', 0.1],
      b1: [[96]],
      w2: [[96, HIDDEN], 'normal', 0.1],
    },
    build: (g, inputs) => {
      const norm: Norm = { kind: 'layer', weight: 'norm', bias: 'shift', epsilon: 1e-6 };
      const [a, b] = ops(g, inputs).normLinear(inputs.x, norm, [
        { weight: 'w1', bias: 'b1', activation: 'gelu' },
        { weight: 'w2' },
      ]);
      return op.mul(g, a, b);
    },
  },
  {
    name: 'Ops.linear with layer scale and residual',
    inputs: {
      x: [[TILES * TOKENS, HIDDEN]],
      w: [[128, HIDDEN], 'normal', 0.1],
      b: [[128]],
      scale: [[128]],
      residual: [[TILES * TOKENS, 128]],
    },
    build: (g, inputs) =>
      ops(g, inputs).linear(
        inputs.x,
        { weight: 'w', bias: 'b' },
        { scale: 'scale', residual: inputs.residual },
      ),
  },
  {
    name: 'Ops.attention',
    inputs: {
      q: [[TILES * TOKENS, HIDDEN]],
      k: [[TILES * TOKENS, HIDDEN]],
      v: [[TILES * TOKENS, HIDDEN]],
    },
    build: (g, inputs) =>
      ops(g, inputs).attention(inputs.q, inputs.k, inputs.v, { heads: HEADS, headDim: HEAD_DIM }),
  },
  {
    name: 'Ops.causalAttention, grouped heads, packed conversations',
    inputs: {
      q: [[rows, HEADS * HEAD_DIM]],
      k: [[rows, KV_HEADS * HEAD_DIM]],
      v: [[rows, KV_HEADS * HEAD_DIM]],
    },
    build: (g, inputs) =>
      ops(g, inputs).causalAttention(inputs.q, inputs.k, inputs.v, {
        layer: 0,
        heads: HEADS,
        keyValueHeads: KV_HEADS,
        headDim: HEAD_DIM,
        ropeTheta: 1e6,
      }),
  },
  {
    name: 'Ops.gatedMlp',
    inputs: {
      x: [[rows, HIDDEN]],
      norm: [[HIDDEN]],
      gate: [[320, HIDDEN], 'normal', 0.1],
      up: [[320, HIDDEN], 'normal', 0.1],
      down: [[HIDDEN, 320], 'normal', 0.1],
    },
    build: (g, inputs) =>
      ops(g, inputs).gatedMlp(inputs.x, rms, {
        gate: { weight: 'gate' },
        up: { weight: 'up' },
        down: { weight: 'down' },
      }),
  },
  {
    name: 'Ops.pixelUnshuffle',
    inputs: { x: [[TILES * TOKENS, 64]] },
    build: (g, inputs) => ops(g, inputs).pixelUnshuffle(inputs.x, { grid: GRID }),
  },
  {
    name: 'Ops.embed with repeated ids',
    inputs: { table: [[200, HIDDEN]] },
    build: (g, inputs) => ops(g, inputs).embed(indices(g, 1200, 200), 'table'),
  },
  {
    name: 'Ops.mergeImageFeatures with repeated features',
    inputs: { embeddings: [[rows, HIDDEN]], features: [[TILES * 9, HIDDEN]] },
    build: (g, inputs) => {
      const mask = Float32Array.from({ length: rows }, (_, i) => Number(i % 3 === 0));
      const placed = { imageIndex: indices(g, rows, TILES * 9), imageMask: g.constant(mask, [rows, 1]) };
      return ops(g, inputs, placed).mergeImageFeatures(inputs.embeddings, inputs.embeddings, inputs.features);
    },
  },
  {
    name: 'Ops.selectRows with repeats',
    inputs: { x: [[rows, HIDDEN]] },
    build: (g, inputs) => ops(g, inputs, { selected: indices(g, 500, rows) }).selectRows(inputs.x),
  },
  {
    name: 'Ops.norm',
    inputs: { x: [[rows, HIDDEN]], norm: [[HIDDEN]] },
    build: (g, inputs) => ops(g, inputs).norm(inputs.x, rms),
  },
];

export const GRADIENT_CASES: readonly GradientCase[] = [...primitives, ...composites, ...methods];
