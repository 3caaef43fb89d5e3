import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { beforeAll, describe, expect, test } from 'vitest';
import { OnnxModel, Session, type Feed, type OrtModule } from '@speedq/onnx';
import { parameterInventory, type InternVLConfig } from '@speedq/model';
import { renderPrompt, userContent, type Tokenizer } from '@speedq/processor';
import { createGenerator, type TrainingSample } from '../data/index.ts';
import { Batch } from './batch.ts';
import { FeatureWords } from './feature-words.ts';
import { initialise } from './initialise.ts';
import { AUXILIARY_HEADS, loadPico } from './pico.ts';
import { parameterLayout, parameterViews } from './parameter-layout.ts';
import { SequencePacker } from './sequence.ts';
import { buildStepGraph, PREDICTED } from './step-graph.ts';

const engine: OrtModule = ort;
const folder = join(import.meta.dirname, '../../models/pico');
const shape = { pictures: 2, length: 160, answers: 48 };

let config: InternVLConfig;
let tokenizer: Tokenizer;
let samples: TrainingSample[];
beforeAll(async () => {
  const pico = await loadPico(folder);
  tokenizer = pico.tokenizer;
  // Two layers a side: the packing, not the depth, is what is tested.
  config = {
    ...pico.config,
    vision: { ...pico.config.vision, numLayers: 1 },
    language: { ...pico.config.language, numLayers: 2 },
  };
  const mix = { scenes: { objects: 1 }, questions: { what: 1, count: 1, exists: 1 } };
  const generator = createGenerator({ seed: 11, size: config.vision.imageSize, mix });
  samples = [generator.sample(0), generator.sample(1)];
});

const pack = (sample: TrainingSample) =>
  new SequencePacker(tokenizer, config.tokensPerTile, config.imageTokenId).pack({
    length: shape.length,
    withPicture: true,
    conversations: sample.questions.map((question) => [question]),
    texts: [],
    weights: {},
  });

describe('a packed sequence', () => {
  test('holds the tokens that inference would see, segment by segment', () => {
    const [sample] = samples;
    const sequence = pack(sample);
    const prefix = sequence.segments.lastIndexOf(0) + 1;
    const [first] = sample.questions;
    const prompt = renderPrompt([{ role: 'user', content: userContent(first.question, [1]) }], {
      tokenizer,
      tokensPerTile: config.tokensPerTile,
      systemPrompt: null,
    });
    const end = sequence.segments.lastIndexOf(1) + 1;
    const packed = Array.from(sequence.ids.subarray(0, end));
    expect(packed.slice(0, prompt.length)).toEqual(prompt);
    expect(Array.from(sequence.positions.subarray(0, end))).toEqual(packed.map((_, t) => t));
    expect(sequence.positions[end]).toBe(prefix);
  });

  test('leaves out what does not fit instead of cutting it', () => {
    const sequence = new SequencePacker(tokenizer, config.tokensPerTile, config.imageTokenId).pack({
      length: 60,
      withPicture: true,
      conversations: samples[0].questions.map((question) => [question]),
      texts: [],
      weights: {},
    });
    const answers = new Set(sequence.supervised.map(({ question }) => question));
    for (const question of answers) {
      const tokens = sequence.supervised.filter((position) => position.question === question);
      expect(tokens).toHaveLength(tokenizer.encode(question.answer).length + 1);
    }
  });

  test('gives each question the greedy tokens it gets alone', async () => {
    const layout = parameterLayout(config, AUXILIARY_HEADS);
    const parameters = parameterViews(layout, initialise(config, layout, 3));
    const words = new FeatureWords(tokenizer);
    const batch = new Batch(config, shape, words);
    samples.forEach((sample, slot) => batch.setPicture(slot, sample));
    batch.normalisePatchWeights();
    const packer = new SequencePacker(tokenizer, config.tokensPerTile, config.imageTokenId);
    batch.setSequences(samples.map(pack), packer.pictureStart);
    const graph = buildStepGraph(config, layout, words.ids.length, shape, 'joint', packer.pictureStart);
    const session = await Session.create(engine, graph.model, { threads: 2 });
    const feeds = new Map<string, Feed>();
    for (const { name, shape: dims } of layout.slots)
      feeds.set(name, session.float(parameters.get(name)!, dims));
    for (const [name, { data, dims }] of batch.floats) feeds.set(name, session.float(data, dims));
    for (const [name, { data, dims }] of batch.integers) feeds.set(name, session.int(data, dims));
    for (const loss of graph.losses) feeds.set(`weight.${loss}`, session.float(Float32Array.of(1), []));
    const predicted = (await session.run(feeds)).get(PREDICTED)!.data as BigInt64Array;
    await session.release();

    const model = await OnnxModel.create(
      engine,
      config,
      new Map(parameterInventory(config).map(({ name }) => [name, parameters.get(name)!])),
      { threads: 2 },
    );
    const pixels = batch.floats.get('pixel_values')!.data;
    const size = pixels.length / samples.length;
    let row = 0;
    for (const [slot, sample] of samples.entries()) {
      const features = await model.encodeImages(pixels.subarray(slot * size, (slot + 1) * size), 1);
      for (const { question, answer } of sample.questions) {
        const prompt = renderPrompt([{ role: 'user', content: userContent(question, [1]) }], {
          tokenizer,
          tokensPerTile: config.tokensPerTile,
          systemPrompt: null,
        });
        const answered = tokenizer.encode(answer);
        model.reset();
        const logits = await model.forward([...prompt, ...answered], { features, logits: 'all' });
        const vocabulary = config.language.vocabSize;
        for (let i = 0; i <= answered.length; i++) {
          const at = (prompt.length - 1 + i) * vocabulary;
          const scores = logits.subarray(at, at + vocabulary);
          const best = Math.max(...scores);
          // Random weights give near ties; the packed run must pick one of the best.
          expect(best - scores[Number(predicted[row++])]).toBeLessThan(1e-3);
        }
      }
    }
    await model.release();
  });
});
