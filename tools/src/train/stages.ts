import type { Mix } from '../data/types.ts';
import type { QuestionWeights } from './sequence.ts';
import type { StepKind, StepShape } from './step-graph.ts';

/** From a number of pictures on, draw these mixes in proportion to their shares. */
export interface Lesson {
  readonly from: number;
  readonly mixes: readonly { readonly share: number; readonly mix: Mix }[];
}

export interface TrainStage {
  readonly name: string;
  readonly kind: StepKind;
  /** Pictures in all, and in one optimiser step: a multiple of `MICRO_BATCH`. */
  readonly pictures: number;
  readonly picturesPerStep: number;
  readonly learningRate: number;
  readonly warmupSteps: number;
  /** Share of the steps, at the end, over which the learning rate falls to a twentieth. */
  readonly decay: number;
  readonly losses: {
    readonly language: number;
    readonly patch: number;
    readonly align: number;
    readonly gaze: number;
  };
  readonly questionWeights: QuestionWeights;
  readonly lessons: readonly Lesson[];
  /** Questions without a picture that fill up each sequence, and in what proportion. Default: facts alone. */
  readonly textsPerPicture: number;
  readonly texts?: Mix['questions'];
  /** Share of sequences in which they come first: long ones find no room after the picture's. Default 0. */
  readonly textsFirst?: number;
  /** Stages whose parameters this one starts from; the later overrides what it trained. */
  readonly startsFrom: readonly string[];
}

/** Tokens of a packed sequence and supervised positions per picture. */
const SEQUENCE_LENGTH = 152;
const ANSWERS_PER_PICTURE = 30;

/** Pictures of a micro-batch: small, so that a worker whose core is busy elsewhere holds up a step little. */
export const MICRO_BATCH = 4;

export const stepShape: StepShape = {
  pictures: MICRO_BATCH,
  length: SEQUENCE_LENGTH,
  answers: MICRO_BATCH * ANSWERS_PER_PICTURE,
};

const ALL_QUESTIONS = {
  describe: 0.7,
  what: 1,
  count: 1.2,
  colour: 1,
  where: 1.3,
  at: 1.2,
  exists: 1.5,
  read: 1,
  bar: 0.8,
  choice: 1.5,
};

const MOSAICS: Mix = {
  scenes: { mosaic: 0.55, glyphs: 0.25, objects: 0.1, word: 0.1 },
  questions: { what: 1 },
};
const GLYPHS: Mix = {
  scenes: { mosaic: 0.2, glyphs: 0.4, word: 0.25, chart: 0.1, objects: 0.05 },
  questions: { what: 1, read: 1, bar: 1 },
};
const ORDINARY: Mix = {
  scenes: { objects: 0.62, counting: 0.14, word: 0.12, chart: 0.12 },
  questions: ALL_QUESTIONS,
};

/**
 * Questions that select an object by its word. Among all kinds at once they stay at chance for long;
 * among a few kinds the skill appears quickly, and it carries over to more.
 */
const selecting = (kinds?: number): Mix => ({
  scenes: { objects: 1 },
  questions: { exists: 1, choice: 0.4, where: 0.3 },
  kinds,
});

/** Questions that select an object by its place, or a place by its object. */
const placing = (kinds?: number): Mix => ({
  scenes: { objects: 1 },
  questions: { at: 1, where: 0.7, exists: 0.4 },
  kinds,
});

/** What the model answered worst: bars, many alike, kinds of things, and what stands at a place. */
const CHARTS: Mix = {
  scenes: { chart: 1 },
  questions: { bar: 1, choice: 0.35, exists: 0.3, count: 0.2, describe: 0.1 },
};
const CROWDS: Mix = {
  scenes: { counting: 1 },
  questions: { count: 1, choice: 0.4, exists: 0.4, what: 0.3, at: 0.3 },
};
const EVERYTHING: Mix = {
  scenes: { objects: 0.58, counting: 0.14, word: 0.15, chart: 0.13 },
  questions: { ...ALL_QUESTIONS, fact: 0.6 },
};

const always = (mix: Mix): Lesson[] => [{ from: 0, mixes: [{ share: 1, mix }] }];
const selectingFrom = (from: number, share: number, kinds?: number): Lesson => ({
  from,
  mixes: [
    { share, mix: selecting(kinds) },
    { share: 1 - share, mix: ORDINARY },
  ],
});

const QUESTION_WEIGHTS: QuestionWeights = {
  describe: 0.4,
  where: 1,
  exists: 2,
  choice: 2,
  count: 1.5,
  read: 0.7,
  fact: 0.3,
};

/** Seed of a stage's pictures: no two stages draw the same ones. */
export function dataSeed(seed: number, stage: TrainStage): number {
  return seed * 1000 + PICO_STAGES.findIndex(({ name }) => name === stage.name);
}

/**
 * How pico is trained. The encoder learns to name what is under each patch while the language model,
 * on the other core, learns to answer from the word embeddings of what is shown; then both meet.
 */
export const PICO_STAGES: readonly TrainStage[] = [
  {
    name: 'vision',
    kind: 'vision',
    pictures: 36_000,
    picturesPerStep: 16,
    learningRate: 1e-3,
    warmupSteps: 150,
    decay: 0.3,
    losses: { language: 0, patch: 1, align: 0, gaze: 0 },
    questionWeights: {},
    lessons: always(MOSAICS),
    textsPerPicture: 4,
    startsFrom: [],
  },
  {
    name: 'oracle',
    kind: 'oracle',
    pictures: 21_000,
    picturesPerStep: 16,
    learningRate: 1e-3,
    warmupSteps: 150,
    decay: 0.2,
    losses: { language: 1, patch: 0, align: 0, gaze: 0.2 },
    questionWeights: QUESTION_WEIGHTS,
    lessons: always(ORDINARY),
    textsPerPicture: 4,
    startsFrom: [],
  },
  {
    name: 'select',
    kind: 'oracle',
    pictures: 12_000,
    picturesPerStep: 16,
    learningRate: 6e-4,
    warmupSteps: 50,
    decay: 0.2,
    losses: { language: 1, patch: 0, align: 0, gaze: 0.2 },
    questionWeights: QUESTION_WEIGHTS,
    lessons: [
      selectingFrom(0, 1, 8),
      selectingFrom(4_000, 0.9, 24),
      selectingFrom(6_500, 0.8, 48),
      selectingFrom(9_000, 0.7),
    ],
    textsPerPicture: 0,
    startsFrom: ['oracle'],
  },
  {
    name: 'align',
    kind: 'align',
    pictures: 5_000,
    picturesPerStep: 16,
    learningRate: 2e-3,
    warmupSteps: 20,
    decay: 0.5,
    losses: { language: 0, patch: 0, align: 1, gaze: 0 },
    questionWeights: {},
    lessons: always(ORDINARY),
    textsPerPicture: 4,
    startsFrom: ['vision', 'select'],
  },
  {
    name: 'joint',
    kind: 'joint',
    pictures: 21_500,
    picturesPerStep: 16,
    learningRate: 7e-4,
    warmupSteps: 150,
    decay: 0.35,
    losses: { language: 1, patch: 0.2, align: 0.5, gaze: 0.2 },
    questionWeights: QUESTION_WEIGHTS,
    lessons: [selectingFrom(0, 0.35)],
    textsPerPicture: 4,
    startsFrom: ['align'],
  },
  {
    name: 'glyphs',
    kind: 'vision',
    pictures: 30_000,
    picturesPerStep: 16,
    learningRate: 1e-3,
    warmupSteps: 50,
    decay: 0.3,
    losses: { language: 0, patch: 1, align: 0, gaze: 0 },
    questionWeights: {},
    lessons: always(GLYPHS),
    textsPerPicture: 0,
    startsFrom: ['joint'],
  },
  {
    name: 'refine',
    kind: 'joint',
    pictures: 45_000,
    picturesPerStep: 16,
    learningRate: 8e-4,
    warmupSteps: 100,
    decay: 0.4,
    losses: { language: 1, patch: 0.2, align: 0.5, gaze: 0.3 },
    questionWeights: QUESTION_WEIGHTS,
    lessons: [
      {
        from: 0,
        mixes: [
          { share: 0.5, mix: placing(24) },
          { share: 0.5, mix: ORDINARY },
        ],
      },
      {
        from: 4_000,
        mixes: [
          { share: 0.15, mix: placing() },
          { share: 0.15, mix: selecting() },
          { share: 0.7, mix: ORDINARY },
        ],
      },
    ],
    textsPerPicture: 4,
    startsFrom: ['joint', 'glyphs'],
  },
  {
    name: 'broaden',
    kind: 'joint',
    pictures: 48_000,
    picturesPerStep: 16,
    learningRate: 7e-4,
    warmupSteps: 100,
    decay: 0.4,
    losses: { language: 1, patch: 0.2, align: 0.5, gaze: 0.3 },
    questionWeights: { ...QUESTION_WEIGHTS, fact: 0.6 },
    lessons: [
      {
        from: 0,
        mixes: [
          { share: 0.27, mix: CHARTS },
          { share: 0.1, mix: CROWDS },
          { share: 0.08, mix: placing() },
          { share: 0.55, mix: EVERYTHING },
        ],
      },
    ],
    texts: { fact: 1, choice: 3 },
    textsFirst: 0.2,
    textsPerPicture: 4,
    startsFrom: ['refine'],
  },
];
