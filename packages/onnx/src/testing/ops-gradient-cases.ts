import type { Norm } from '@speedq/model';
import type { Graph, Tensor } from '../graph.ts';
import { OnnxOps } from '../onnx-ops.ts';
import type { OnnxOpsOptions } from '../onnx-ops.ts';
import * as op from '../primitives.ts';
import { MASKED, rotaryTable } from '../rotary.ts';
import { indices } from './gradient-case.ts';
import type { Feeder, GradientCase, Sizes } from './gradient-case.ts';

const TILES = 2;
const BATCH = 2;
const HEADS = 4;
const KV_HEADS = 2;

const tokensOf = ({ grid }: Sizes) => grid * grid + 1;

/** Ops over inputs as parameters; two packed conversations a sequence, and padding at the end. */
function opsOver(
  sizes: Sizes,
  g: Graph,
  feed: Feeder,
  inputs: Record<string, Tensor>,
  more: Partial<OnnxOpsOptions['language']> = {},
): OnnxOps {
  const { length, headDim } = sizes;
  const half = length / 2;
  const { cos, sin } = rotaryTable(
    Array.from({ length: BATCH * length }, (_, i) => i % half),
    headDim,
    1e6,
  );
  const mask = new Float32Array(BATCH * length * length).fill(MASKED);
  for (let row = 0; row < BATCH * length; row++) {
    const t = row % length;
    for (let u = 0; u <= t; u++) {
      if (u === t || (t < length - 2 && t >= half === u >= half)) mask[row * length + u] = 0;
    }
  }
  return new OnnxOps(g, {
    parameter: (name) => inputs[name],
    vision: { tiles: TILES, tokens: tokensOf(sizes) },
    language: {
      batch: BATCH,
      length: length,
      cos: feed(cos, [BATCH, length, 1, headDim / 2]),
      sin: feed(sin, [BATCH, length, 1, headDim / 2]),
      mask: feed(mask, [BATCH, 1, length, length]),
      ...more,
    },
  });
}

const rms: Norm = { kind: 'rms', weight: 'norm', epsilon: 1e-6 };

/** The differentiable methods of Ops. */
export const opsGradientCases = (sizes: Sizes): GradientCase[] => {
  const { hidden, narrow, wide, headDim, grid } = sizes;
  const rows = BATCH * sizes.length;
  const tokens = TILES * tokensOf(sizes);
  const ops = (
    g: Graph,
    feed: Feeder,
    inputs: Record<string, Tensor>,
    more?: Partial<OnnxOpsOptions['language']>,
  ) => opsOver(sizes, g, feed, inputs, more);
  return [
    {
      name: 'Ops.patchEmbed',
      inputs: {
        pixels: [[TILES, 3, grid * 14, grid * 14]],
        weight: [[narrow, 3, 14, 14], 'normal', 0.05],
        bias: [[narrow]],
        classToken: [[1, 1, narrow]],
        position: [[1, tokensOf(sizes), narrow]],
      },
      build: (g, inputs, feed) =>
        ops(g, feed, inputs).patchEmbed(inputs.pixels, {
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
        x: [[tokens, hidden]],
        norm: [[hidden]],
        shift: [[hidden]],
        w1: [[narrow, hidden], 'normal', 0.1],
        b1: [[narrow]],
        w2: [[narrow, hidden], 'normal', 0.1],
      },
      build: (g, inputs, feed) => {
        const norm: Norm = { kind: 'layer', weight: 'norm', bias: 'shift', epsilon: 1e-6 };
        const [a, b] = ops(g, feed, inputs).normLinear(inputs.x, norm, [
          { weight: 'w1', bias: 'b1', activation: 'gelu' },
          { weight: 'w2' },
        ]);
        return op.mul(g, a, b);
      },
    },
    {
      name: 'Ops.linear with layer scale and residual',
      inputs: {
        x: [[tokens, hidden]],
        w: [[narrow, hidden], 'normal', 0.1],
        b: [[narrow]],
        scale: [[narrow]],
        residual: [[tokens, narrow]],
      },
      build: (g, inputs, feed) =>
        ops(g, feed, inputs).linear(
          inputs.x,
          { weight: 'w', bias: 'b' },
          { scale: 'scale', residual: inputs.residual },
        ),
    },
    {
      name: 'Ops.attention',
      inputs: {
        q: [[tokens, hidden]],
        k: [[tokens, hidden]],
        v: [[tokens, hidden]],
      },
      build: (g, inputs, feed) =>
        ops(g, feed, inputs).attention(inputs.q, inputs.k, inputs.v, { heads: HEADS, headDim: headDim }),
    },
    {
      name: 'Ops.causalAttention, grouped heads, packed conversations',
      inputs: {
        q: [[rows, HEADS * headDim]],
        k: [[rows, KV_HEADS * headDim]],
        v: [[rows, KV_HEADS * headDim]],
      },
      build: (g, inputs, feed) =>
        ops(g, feed, inputs).causalAttention(inputs.q, inputs.k, inputs.v, {
          layer: 0,
          heads: HEADS,
          keyValueHeads: KV_HEADS,
          headDim: headDim,
          ropeTheta: 1e6,
        }),
    },
    {
      name: 'Ops.gatedMlp',
      inputs: {
        x: [[rows, hidden]],
        norm: [[hidden]],
        gate: [[wide, hidden], 'normal', 0.1],
        up: [[wide, hidden], 'normal', 0.1],
        down: [[hidden, wide], 'normal', 0.1],
      },
      build: (g, inputs, feed) =>
        ops(g, feed, inputs).gatedMlp(inputs.x, rms, {
          gate: { weight: 'gate' },
          up: { weight: 'up' },
          down: { weight: 'down' },
        }),
    },
    {
      name: 'Ops.pixelUnshuffle',
      inputs: { x: [[tokens, 64]] },
      build: (g, inputs, feed) => ops(g, feed, inputs).pixelUnshuffle(inputs.x, { grid: grid }),
    },
    {
      name: 'Ops.embed with repeated ids',
      inputs: { table: [[200, hidden]] },
      build: (g, inputs, feed) => ops(g, feed, inputs).embed(indices(feed, 1200, 200), 'table'),
    },
    {
      name: 'Ops.mergeImageFeatures with repeated features',
      inputs: { embeddings: [[rows, hidden]], features: [[TILES * 9, hidden]] },
      build: (g, inputs, feed) => {
        const mask = Float32Array.from({ length: rows }, (_, i) => Number(i % 3 === 0));
        const placed = { imageIndex: indices(feed, rows, TILES * 9), imageMask: feed(mask, [rows, 1]) };
        return ops(g, feed, inputs, placed).mergeImageFeatures(
          inputs.embeddings,
          inputs.embeddings,
          inputs.features,
        );
      },
    },
    {
      name: 'Ops.selectRows with repeats',
      inputs: { x: [[rows, hidden]] },
      build: (g, inputs, feed) =>
        ops(g, feed, inputs, { selected: indices(feed, 500, rows) }).selectRows(inputs.x),
    },
    {
      name: 'Ops.norm',
      inputs: { x: [[rows, hidden]], norm: [[hidden]] },
      build: (g, inputs, feed) => ops(g, feed, inputs).norm(inputs.x, rms),
    },
  ];
};
