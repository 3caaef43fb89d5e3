import ort from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { languageBlock, languageEmbed, visionBlock, visionEmbed } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import {
  Graph,
  OnnxModel,
  OnnxOps,
  Session,
  attentionMask,
  parameterFeeds,
  parameterInputs,
  placeFeatures,
  rotaryTable,
} from '@speedq/onnx';
import { internvlCases, largestDifference, openTensors, readModel } from './internvl-folder.ts';

/** Absolute, on activations and logits. */
const TOLERANCE = 1e-4;

describe.each(internvlCases())('onnxruntime $name', ({ name, expected }) => {
  const golden = openTensors(expected, 'expected.safetensors');
  const ids = golden.integers('input_ids');
  const pixels = golden.floats('pixel_values');
  const tiles = golden.shape('pixel_values')[0];

  let config: InternVLConfig;
  let parameters: ReadonlyMap<string, Float32Array>;
  let model: OnnxModel;
  let features: Float32Array;
  let logits: Float32Array;
  beforeAll(async () => {
    ({ config, parameters } = await readModel(name));
    // An original-layout config.json does not say which token it is, and these folders have no tokenizer.
    if (name !== expected)
      config = { ...config, imageTokenId: (await readModel(expected)).config.imageTokenId };
    model = await OnnxModel.create(ort, config, parameters, { threads: 1 });
    features = await model.encodeImages(pixels, tiles);
    logits = await model.forward(ids, { features, logits: 'all' });
  });

  const layers = (prefix: string) => golden.names.filter((key) => key.startsWith(`${prefix}.`));

  it('gives the image features', () => {
    expect(largestDifference(features, golden.floats('image_features'))).toBeLessThan(TOLERANCE);
  });

  it.runIf(layers('vision_hidden').length > 0)('gives the hidden states of the vision encoder', async () => {
    const g = new Graph();
    const { imageSize, patchSize, numLayers } = config.vision;
    const vision = { tiles, tokens: (imageSize / patchSize) ** 2 + 1 };
    const ops = new OnnxOps(g, { parameter: parameterInputs(g, config), vision });
    let x = visionEmbed(ops, config, g.input('pixel_values', [tiles, 3, imageSize, imageSize]));
    g.output('vision_hidden.0', x);
    for (let layer = 0; layer < numLayers; layer++) {
      x = visionBlock(ops, config, layer, x);
      g.output(`vision_hidden.${layer + 1}`, x);
    }
    const session = await Session.create(ort, g.build(), { threads: 1 });
    const feeds = parameterFeeds(session, config, parameters);
    feeds.set('pixel_values', session.float(pixels, [tiles, 3, imageSize, imageSize]));
    const results = await session.run(feeds);
    expect(layers('vision_hidden').length).toBe(numLayers + 1);
    for (const key of layers('vision_hidden')) {
      const actual = results.get(key)!.data as Float32Array;
      expect(largestDifference(actual, golden.floats(key)), key).toBeLessThan(TOLERANCE);
    }
  });

  it('gives the hidden states of the language model', async () => {
    const g = new Graph();
    const length = ids.length;
    const { hiddenSize, headDim, numLayers, rmsNormEps, ropeTheta } = config.language;
    const half = headDim / 2;
    const count = tiles * config.tokensPerTile;
    const ops = new OnnxOps(g, {
      parameter: parameterInputs(g, config),
      language: {
        batch: 1,
        length,
        cos: g.input('cos', [1, length, 1, half]),
        sin: g.input('sin', [1, length, 1, half]),
        mask: g.input('mask', [1, 1, length, length]),
        imageIndex: g.input('image_index', [length], 'int64'),
        imageMask: g.input('image_mask', [length, 1]),
      },
    });
    const inputIds = g.input('input_ids', [length], 'int64');
    let x = languageEmbed(ops, config, inputIds, g.input('image_features', [count, hiddenSize]));
    g.output('language_hidden.0', x);
    for (let layer = 0; layer < numLayers; layer++) {
      x = languageBlock(ops, config, layer, x);
      // The last golden state is behind the final norm.
      const weight = 'language_model.model.norm.weight';
      const last = layer === numLayers - 1;
      g.output(
        `language_hidden.${layer + 1}`,
        last ? ops.norm(x, { kind: 'rms', weight, epsilon: rmsNormEps }) : x,
      );
    }
    const session = await Session.create(ort, g.build(), { threads: 1 });
    const feeds = parameterFeeds(session, config, parameters);
    const { cos, sin } = rotaryTable(
      Array.from({ length }, (_, t) => t),
      headDim,
      ropeTheta,
    );
    const placed = placeFeatures(ids, config.imageTokenId, count);
    feeds.set('input_ids', session.int(BigInt64Array.from(ids, BigInt), [length]));
    feeds.set('cos', session.float(cos, [1, length, 1, half]));
    feeds.set('sin', session.float(sin, [1, length, 1, half]));
    feeds.set(
      'mask',
      session.float(attentionMask(new Int32Array(length), 1, length), [1, 1, length, length]),
    );
    feeds.set('image_index', session.int(placed.index, [length]));
    feeds.set('image_mask', session.float(placed.mask, [length, 1]));
    feeds.set('image_features', session.float(golden.floats('image_features'), [count, hiddenSize]));
    const results = await session.run(feeds);
    expect(layers('language_hidden').length).toBe(numLayers + 1);
    for (const key of layers('language_hidden')) {
      const actual = results.get(key)!.data as Float32Array;
      expect(largestDifference(actual, golden.floats(key)), key).toBeLessThan(TOLERANCE);
    }
  });

  it('gives the logits', () => {
    expect(largestDifference(logits, golden.floats('logits'))).toBeLessThan(TOLERANCE);
  });

  it('gives the loss', () => {
    const labels = golden.integers('labels');
    const vocabulary = config.language.vocabSize;
    let sum = 0;
    let count = 0;
    for (let t = 0; t + 1 < labels.length; t++) {
      if (labels[t + 1] < 0) continue;
      const row = logits.subarray(t * vocabulary, (t + 1) * vocabulary);
      const max = Math.max(...row);
      const total = row.reduce((acc, value) => acc + Math.exp(value - max), 0);
      sum += max + Math.log(total) - row[labels[t + 1]];
      count++;
    }
    expect(Math.abs(sum / count - golden.floats('loss')[0])).toBeLessThan(TOLERANCE);
  });

  it('gives the greedy tokens, with a cache', async () => {
    const expectedIds = Array.from(golden.integers('greedy_ids'));
    model.reset();
    let last = await model.forward(ids, { features });
    const greedy: number[] = [];
    for (const _ of expectedIds) {
      const next = last.indexOf(Math.max(...last));
      greedy.push(next);
      last = await model.forward([next]);
    }
    expect(greedy).toEqual(expectedIds);
  });

  it('gives the logits of text alone, in one piece or in two', async () => {
    const text = golden.integers('text_only_ids');
    const expectedLogits = golden.floats('text_only_logits');
    model.reset();
    const whole = await model.forward(text, { logits: 'all' });
    expect(largestDifference(whole, expectedLogits)).toBeLessThan(TOLERANCE);
    model.reset();
    const first = await model.forward(text.subarray(0, 3), { logits: 'all' });
    const second = await model.forward(text.subarray(3), { logits: 'all' });
    expect(largestDifference([...first, ...second], expectedLogits)).toBeLessThan(TOLERANCE);
  });
});
