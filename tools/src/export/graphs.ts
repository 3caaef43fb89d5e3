import { imageFeatures, languageBlock, languageEmbed, languageHead } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { Graph, MASKED, primitives as op } from '@speedq/onnx';
import type { Tensor } from '@speedq/onnx';
import { ExportOps } from './graph-weights.ts';
import type { GraphWeights } from './graph-weights.ts';

/**
 * The three graphs transformers.js runs a LLaVA-like model by. Its conventions: the cache's batch axis is called
 * `batch_size`, embeddings and features are float32, one decoder serves prompt and decoding. The batch is one
 * conversation.
 */
export const GRAPHS = ['embed_tokens', 'vision_encoder', 'decoder_model_merged'] as const;
export type GraphName = (typeof GRAPHS)[number];

const BATCH = 'batch_size';
const LENGTH = 'sequence_length';
const TOTAL = 'total_sequence_length';
const PAST = 'past_sequence_length';

export function buildGraph(name: GraphName, config: InternVLConfig, weights: GraphWeights): Graph {
  switch (name) {
    case 'embed_tokens':
      return embedGraph(config, weights);
    case 'vision_encoder':
      return visionGraph(config, weights);
    case 'decoder_model_merged':
      return decoderGraph(config, weights);
  }
}

/** input_ids int64 [batch_size, sequence_length] → inputs_embeds [batch_size, sequence_length, hidden]. */
function embedGraph(config: InternVLConfig, weights: GraphWeights): Graph {
  const g = new Graph();
  const ops = new ExportOps(g, weights, {});
  const ids = op.reshape(g, g.input('input_ids', [BATCH, LENGTH], 'int64'), [LENGTH]);
  const rows = languageEmbed(ops, config, ids);
  g.output('inputs_embeds', { ...op.reshape(g, rows, [1, LENGTH, config.language.hiddenSize]) });
  return g;
}

/** pixel_values [num_tiles, 3, S, S] → image_features [num_tiles, tokensPerTile, hidden]. */
function visionGraph(config: InternVLConfig, weights: GraphWeights): Graph {
  const g = new Graph();
  const { imageSize, patchSize } = config.vision;
  const tokens = (imageSize / patchSize) ** 2 + 1;
  const ops = new ExportOps(g, weights, { vision: { tiles: 'num_tiles', tokens } });
  const pixels = g.input('pixel_values', ['num_tiles', 3, imageSize, imageSize]);
  const features = imageFeatures(ops, config, pixels);
  const shape = ['num_tiles', config.tokensPerTile, config.language.hiddenSize];
  g.output('image_features', op.reshape(g, features, shape));
  return g;
}

/** inputs_embeds, attention_mask, position_ids and past_key_values.* → logits and present.*. */
function decoderGraph(config: InternVLConfig, weights: GraphWeights): Graph {
  const g = new Graph();
  const { hiddenSize, headDim, numLayers, numKeyValueHeads, ropeTheta, vocabSize } = config.language;
  const embeds = g.input('inputs_embeds', [BATCH, LENGTH, hiddenSize]);
  const attended = g.input('attention_mask', [BATCH, TOTAL], 'int64');
  const positions = g.input('position_ids', [BATCH, LENGTH], 'int64');
  const pasts = Array.from({ length: numLayers }, (_, layer) => {
    const shape = [BATCH, numKeyValueHeads, PAST, headDim];
    return {
      key: g.input(`past_key_values.${layer}.key`, shape),
      value: g.input(`past_key_values.${layer}.value`, shape),
    };
  });
  const half = headDim / 2;
  const frequencies = Float32Array.from({ length: half }, (_, j) => ropeTheta ** (-j / half));
  const column = op.reshape(g, op.cast(g, positions, 'float32'), [1, LENGTH, 1, 1]);
  const angles = g.node('Mul', [column, g.constant(frequencies, [1, 1, 1, half])], [1, LENGTH, 1, half]);
  const ops = new ExportOps(g, weights, {
    language: {
      batch: 1,
      length: LENGTH,
      cos: g.node('Cos', [angles], angles.shape),
      sin: g.node('Sin', [angles], angles.shape),
      mask: causalMask(g, attended, positions),
      cache: {
        past: (layer) => pasts[layer],
        present: (layer, key, value) => {
          g.output(`present.${layer}.key`, { ...key, shape: [BATCH, numKeyValueHeads, TOTAL, headDim] });
          g.output(`present.${layer}.value`, { ...value, shape: [BATCH, numKeyValueHeads, TOTAL, headDim] });
        },
        total: TOTAL,
      },
    },
  });
  let x = op.reshape(g, embeds, [LENGTH, hiddenSize]);
  for (let layer = 0; layer < numLayers; layer++) x = languageBlock(ops, config, layer, x);
  const logits = op.reshape(g, languageHead(ops, config, x), [1, LENGTH, vocabSize]);
  g.output('logits', { ...logits, shape: [BATCH, LENGTH, vocabSize] });
  return g;
}

/** Added to scores [1, 1, length, total]: later tokens and those the mask leaves out do not count. */
function causalMask(g: Graph, attended: Tensor, positions: Tensor): Tensor {
  const integer = (tensor: Tensor, axis: number): Tensor => {
    const shape = g.node('Shape', [tensor], [2], { type: 'int64' });
    return g.node('Gather', [shape, g.constant(BigInt64Array.of(BigInt(axis)), [])], [], { type: 'int64' });
  };
  const [total, length] = [integer(attended, 1), integer(positions, 1)];
  const [zero, one] = [0n, 1n].map((value) => g.constant(BigInt64Array.of(value), []));
  const past = g.node('Sub', [total, length], [], { type: 'int64' });
  const keys = g.node('Range', [zero, total, one], [TOTAL], { type: 'int64' });
  const queries = g.node('Range', [past, total, one], [LENGTH], { type: 'int64' });
  const rows = op.reshape(g, queries, [LENGTH, 1]);
  const isLater = g.node('Greater', [keys, rows], [LENGTH, TOTAL], { type: 'bool' });
  const isOut = g.node('Equal', [op.reshape(g, attended, [1, TOTAL]), zero], [1, TOTAL], { type: 'bool' });
  const hidden = g.node('Or', [isLater, isOut], [LENGTH, TOTAL], { type: 'bool' });
  const mask = g.node('Where', [hidden, g.scalar(MASKED), g.scalar(0)], [LENGTH, TOTAL], { type: 'float32' });
  // Two symbolic lengths: 0 keeps the axes, so only new ones are named.
  const axes = g.integers([0, 1]);
  return g.node('Unsqueeze', [mask, axes], [1, 1, LENGTH, TOTAL]);
}
