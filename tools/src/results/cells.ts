import { SpeedqError } from '@speedq/format';
import { didYouMean } from '../cli/suggest.ts';
import { METHODS } from '../quantize/methods/names.ts';

/** What is compared: a method at a rung with a seed, perhaps with one thing changed. */
export interface Cell {
  /** METHOD/RUNG/SEED, or METHOD/RUNG/SEED/CHANGE. */
  readonly id: string;
  readonly method: string;
  readonly rung: string;
  readonly seed: number;
  readonly change?: string;
}

/** What a recipe file says beside the recipe it extends. */
export type RecipeChanges = Readonly<Record<string, unknown>>;

interface Rung {
  /** Of all linears of encoder and language model. */
  readonly scheme: string;
  /** The recipe whose stage settings go with it. */
  readonly recipe: string;
}

export const RUNGS: Readonly<Record<string, Rung>> = {
  '2bit-g16': { scheme: '2bit-g16', recipe: '2bit' },
  '2bit-g32': { scheme: '2bit-g32', recipe: '2bit' },
  '2bit-g64': { scheme: '2bit-g64', recipe: '2bit' },
  '2bit-g128': { scheme: '2bit-g128', recipe: '2bit' },
  '2bit-row': { scheme: '2bit-row', recipe: '2bit' },
  '2bit-g16-min': { scheme: '2bit-g16-min', recipe: '2bit' },
  '3bit-g16': { scheme: '3bit-g16', recipe: '3bit' },
  '4bit-g32': { scheme: '4bit-g32', recipe: '4bit' },
};

export const REFERENCE = 'reference';
export const ALL_METHODS: readonly string[] = [...METHODS, REFERENCE];

/** How long the methods that train do so, the same for all of them. */
export const SCHEDULES = {
  recipe: { does: 'as the recipe says', changes: {} },
  short: {
    does:
      '128 pictures and 128 conversations to calibrate on, 60 updates a block, 40 of the projector, 50 of the ' +
      'language model, 16 conversations each',
    changes: {
      stage1: { iterations: 60, calibrationImages: 128 },
      stage2: { steps: 40 },
      stage3: { steps: 50, batchSize: 16 },
      blockwise: { iterations: 60 },
      calibration: { conversations: 128 },
    },
  },
} as const satisfies Readonly<Record<string, { does: string; changes: RecipeChanges }>>;
export type ScheduleName = keyof typeof SCHEDULES;

export interface Change {
  readonly does: string;
  readonly recipe?: RecipeChanges;
  /** Options of `speedq quantize`. */
  readonly options?: readonly string[];
  /** Conversations that there are to train on. */
  readonly conversations?: number;
}

const fix = (name: string, does: string): Change => ({ does, recipe: { fixes: { [name]: false } } });

/** One thing different from the method as it is. */
export const CHANGES: Readonly<Record<string, Change>> = {
  'mask-unshifted': fix(
    'shiftDistillationMask',
    'the first answer token is not distilled, as in the reference',
  ),
  'kd-summed': fix('averageDistillation', 'distillation is a sum over tokens, as in the reference'),
  'gamma-everywhere': fix('gammaOverAnswers', 'γ is measured over all positions, as in the reference'),
  'gamma-per-token': { does: 'γ of each token by itself', recipe: { stage3: { gamma: 'per-token' } } },
  'tables-again': fix('quantizeTablesOnce', 'tables are quantized again in every stage, as in the reference'),
  'drop-path': fix('noDropPath', 'drop-path in the frozen encoder, as in the reference'),
  'single-level-search': fix(
    'searchTrainedQuantizer',
    'the range search leaves out q and k and scores another quantizer, as in the reference',
  ),
  'float32-scales': fix('storedArithmetic', 'trained against float32 scales, as in the reference'),
  'cross-entropy': {
    does: 'cross-entropy with label smoothing 0.1 beside the teacher',
    recipe: { stage3: { crossEntropyWeight: 1, labelSmoothing: 0.1 } },
  },
  'projector-answers': {
    does: 'stage 2 trains on answers instead of features',
    recipe: { stage2: { objective: 'cross-entropy' } },
  },
  'no-range-search': { does: 'no search for clipping ranges', recipe: { stage3: { clipSearchTokens: 0 } } },
  'no-float-input': {
    does: 'blocks see the quantized prefix alone',
    recipe: { stage1: { floatInputShare: 0 }, blockwise: { floatInputShare: 0 } },
  },
  'learned-scales': {
    does: 'scales and zero points trained too',
    recipe: { stage3: { learnedScales: true } },
  },
  'rate-low': { does: 'language model at 2e-5 (best: 8e-6)', recipe: { stage3: { learningRate: 2e-5 } } },
  'rate-high': {
    does: 'language model at 1.25e-4 (best: 5e-5)',
    recipe: { stage3: { learningRate: 1.25e-4 } },
  },
  'scales-fast': { does: "scales at the weights' rate", recipe: { stage3: { scaleRate: 1 } } },
  'blocks-slow': {
    does: 'blocks at a third of the rates',
    recipe: { blockwise: { learningRate: 0.003, scaleLearningRate: 0.001, zeroLearningRate: 0.003 } },
  },
  'blocks-fast': {
    does: 'blocks at three times the rates',
    recipe: { blockwise: { learningRate: 0.03, scaleLearningRate: 0.01, zeroLearningRate: 0.03 } },
  },
  'stage-3-only': { does: 'encoder rounded to nearest', options: ['--stages', '3'] },
  'stages-1-2': { does: 'language model rounded to nearest', options: ['--stages', '1,2'] },
  'data-250': { does: '250 conversations', conversations: 250 },
  'data-500': { does: '500 conversations', conversations: 500 },
  'data-1000': { does: '1,000 conversations', conversations: 1000 },
};

/** @throws {SpeedqError} `invalid-argument` */
export function parseCell(id: string): Cell {
  const [method, rung, seed, change, ...rest] = id.split('/');
  const known = (value: string, names: readonly string[], what: string) => {
    if (names.includes(value)) return;
    throw new SpeedqError(
      'invalid-argument',
      `--cell ${id}: no ${what} ${JSON.stringify(value)}.${didYouMean(value, names)} Known: ${names.join(', ')}.`,
    );
  };
  if (seed === undefined || !/^\d+$/.test(seed) || rest.length > 0) {
    throw new SpeedqError(
      'invalid-argument',
      `--cell ${id}: expected METHOD/RUNG/SEED or METHOD/RUNG/SEED/CHANGE.`,
    );
  }
  known(method, ALL_METHODS, 'method');
  known(rung, Object.keys(RUNGS), 'rung');
  if (change !== undefined) known(change, Object.keys(CHANGES), 'change');
  return { id, method, rung, seed: Number(seed), ...(change === undefined ? {} : { change }) };
}

/** Every method at every rung, over seeds; rounding to nearest draws nothing. */
export function cellsOf(methods: readonly string[], rungs: readonly string[], seeds: number): Cell[] {
  return rungs.flatMap((rung) =>
    methods.flatMap((method) =>
      Array.from({ length: method === 'rtn' ? 1 : seeds }, (_, seed) =>
        parseCell(`${method}/${rung}/${seed}`),
      ),
    ),
  );
}

/** The recipe file of a cell. */
export function recipeOf({ rung, change }: Cell, schedule: ScheduleName): RecipeChanges {
  const { scheme, recipe } = RUNGS[rung];
  const changes = [
    SCHEDULES[schedule].changes,
    (change === undefined ? undefined : CHANGES[change].recipe) ?? {},
  ];
  const merged: Record<string, unknown> = {};
  for (const [key, value] of changes.flatMap((one) => Object.entries(one))) {
    merged[key] = { ...(merged[key] as object | undefined), ...(value as object) };
  }
  return { extends: recipe, schemes: { vision: scheme, language: scheme }, ...merged };
}
