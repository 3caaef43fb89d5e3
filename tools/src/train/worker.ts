import { parentPort, workerData } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import { adamwStep, Session, type Feed } from '@speedq/onnx';
import { createGenerator, type Mix, type TrainingSample } from '../data/index.ts';
import { createRandom } from '../data/random.ts';
import { Batch } from './batch.ts';
import { FeatureWords } from './feature-words.ts';
import { GazeGuide } from './gaze.ts';
import { AUXILIARY_HEADS, loadPico } from './pico.ts';
import { parameterLayout, parameterViews } from './parameter-layout.ts';
import type { Tally, WorkerReply, WorkerRequest, WorkerSetup } from './protocol.ts';
import { SequencePacker, type PackedSequence } from './sequence.ts';
import { buildStepGraph, PREDICTED } from './step-graph.ts';
import { dataSeed, MICRO_BATCH, stepShape } from './stages.ts';

/** Optimiser of the trial runs: a short second-moment memory suits short runs. */
const OPTIMISER = { beta1: 0.9, beta2: 0.97, epsilon: 1e-8 };
const WEIGHT_DECAY = 0.05;
/** Share of conversations of two turns, so that earlier answers in a chat do not confuse the model. */
const TWO_TURNS = 0.2;

const setup = (workerData as { data: WorkerSetup }).data;
const { stage, index, count } = setup;
const port = parentPort!;
const reply = (message: WorkerReply) => port.postMessage(message);

const { config, tokenizer } = await loadPico(setup.folder);
const layout = parameterLayout(config, AUXILIARY_HEADS);
const shared = new Float32Array(setup.parameters);
// onnxruntime takes no shared memory: each worker computes on its own copy.
const parameters = new Float32Array(layout.total);
const gradients = new Float32Array(layout.total);
const sharedGradients = setup.gradients.map((buffer) => new Float32Array(buffer));

const words = new FeatureWords(tokenizer);
const batch = new Batch(config, stepShape, words);
const packer = new SequencePacker(tokenizer, config.tokensPerTile, config.imageTokenId);
const guide = new GazeGuide(tokenizer, Math.sqrt(config.tokensPerTile));
const graph = buildStepGraph(config, layout, words.ids.length, stepShape, stage.kind, packer.pictureStart);
const session = await Session.create(ort, graph.model, { threads: setup.threads });

const feeds = new Map<string, Feed>();
const parameterView = parameterViews(layout, parameters);
const gradientView = parameterViews(layout, gradients);
/** Gradients are written in place, the rest into new arrays. */
const results = new Map<string, Feed | undefined>();
for (const slot of layout.slots) {
  feeds.set(slot.name, session.float(parameterView.get(slot.name)!, slot.shape));
  if (graph.trained.includes(slot.name)) {
    results.set(`grad.${slot.name}`, session.float(gradientView.get(slot.name)!, slot.shape));
  }
}
for (const [name, { data, dims }] of batch.floats) feeds.set(name, session.float(data, dims));
for (const [name, { data, dims }] of batch.integers) feeds.set(name, session.int(data, dims));
const answering = graph.losses.includes('language');
if (answering) results.set(PREDICTED, undefined);
for (const loss of graph.losses) {
  results.set(`loss.${loss}`, undefined);
  feeds.set(
    `weight.${loss}`,
    session.float(Float32Array.of(stage.losses[loss as keyof typeof stage.losses]), []),
  );
}

const generators = new Map<Mix, ReturnType<typeof createGenerator>>();
const seed = dataSeed(setup.seed, stage);
const texts = createGenerator({
  seed,
  size: config.vision.imageSize,
  mix: { scenes: { text: 1 }, questions: stage.texts ?? { fact: 1 } },
});

function generatorAt(picture: number) {
  const { mixes } = stage.lessons.filter(({ from }) => from <= picture).at(-1)!;
  let left = createRandom(seed, picture, 3).next() * mixes.reduce((sum, { share }) => sum + share, 0);
  const { mix } = mixes.find(({ share }) => (left -= share) < 0) ?? mixes[0];
  let generator = generators.get(mix);
  if (!generator) {
    generator = createGenerator({ seed, size: config.vision.imageSize, mix });
    generators.set(mix, generator);
  }
  return generator;
}

function conversationsOf(sample: TrainingSample, picture: number) {
  const random = createRandom(seed, picture, 7);
  const conversations: TrainingSample['questions'][] = [];
  for (let i = 0; i < sample.questions.length; i++) {
    const pair = i + 1 < sample.questions.length && random.chance(TWO_TURNS);
    conversations.push(sample.questions.slice(i, pair ? i + 2 : i + 1));
    if (pair) i++;
  }
  return conversations;
}

async function compute({
  firstPicture,
  first,
}: Extract<WorkerRequest, { type: 'compute' }>): Promise<WorkerReply> {
  if (first) parameters.set(shared);
  const sequences: PackedSequence[] = [];
  for (let slot = 0; slot < MICRO_BATCH; slot++) {
    const picture = firstPicture + slot;
    const sample = generatorAt(picture).sample(picture);
    batch.setPicture(slot, sample);
    if (!answering) continue;
    const facts = texts.sample(picture).questions.slice(0, stage.textsPerPicture);
    sequences.push(
      packer.pack({
        length: stepShape.length,
        withPicture: true,
        conversations: conversationsOf(sample, picture),
        texts: facts,
        textsFirst: createRandom(seed, picture, 11).chance(stage.textsFirst ?? 0),
        weights: stage.questionWeights,
        gazesOf: {
          inQuestion: (question) => guide.inQuestion(question, sample),
          inAnswer: (question) => guide.inAnswer(question, sample),
        },
      }),
    );
  }
  batch.normalisePatchWeights();
  if (sequences.length > 0) batch.setSequences(sequences, packer.pictureStart);
  const outputs = await session.run(feeds, results);
  const sum = sharedGradients[index];
  if (first) sum.set(gradients);
  else for (let i = 0; i < sum.length; i++) sum[i] += gradients[i];
  const losses = Object.fromEntries(
    graph.losses.map((loss) => [loss, (outputs.get(`loss.${loss}`)!.data as Float32Array)[0]]),
  );
  const predicted = outputs.get(PREDICTED)?.data as BigInt64Array | undefined;
  return { type: 'computed', losses, tally: predicted ? tally(predicted) : {} };
}

/** Exact answers under teacher forcing, which is the same as under greedy decoding. */
function tally(predicted: BigInt64Array): Tally {
  const targets = batch.integers.get('targets')!.data;
  const right = new Map<object, boolean>();
  batch.questions.forEach((question, row) => {
    right.set(question, (right.get(question) ?? true) && predicted[row] === targets[row]);
  });
  const counts: Tally = {};
  for (const question of new Set(batch.questions)) {
    const entry = (counts[question.type] ??= { asked: 0, right: 0 });
    entry.asked++;
    if (right.get(question)) entry.right++;
  }
  return counts;
}

/** AdamW on this worker's share of the elements, with the gradients of all workers. */
function update({
  step,
  learningRate,
  scale,
  contributors,
}: Extract<WorkerRequest, { type: 'update' }>): WorkerReply {
  const state = { parameters: shared, gradients, m: new Float32Array(setup.m), v: new Float32Array(setup.v) };
  const share = Math.ceil(layout.total / count);
  const begin = index * share;
  const end = Math.min(begin + share, layout.total);
  const [first, ...others] = contributors.map((worker) => sharedGradients[worker]);
  gradients.set(first.subarray(begin, end), begin);
  for (const other of others) for (let i = begin; i < end; i++) gradients[i] += other[i];
  for (const slot of layout.slots) {
    const range = { begin: Math.max(slot.offset, begin), end: Math.min(slot.offset + slot.size, end) };
    if (range.begin >= range.end || !graph.trained.includes(slot.name)) continue;
    const weightDecay = slot.decay ? WEIGHT_DECAY : 0;
    adamwStep(state, range, { ...OPTIMISER, weightDecay, learningRate, step, scale });
  }
  return { type: 'updated' };
}

port.on('message', (request: WorkerRequest) => {
  if (request.type === 'update') reply(update(request));
  else
    void compute(request).then(reply, (error: unknown) => {
      throw error;
    });
});
reply({ type: 'ready', trained: graph.trained });
