import { join } from 'node:path';

/** The embedded model, whose packed forms the web page ships. */
export const PICO = 'tools/models/pico';
const SHIPPED: Readonly<Record<string, string>> = {
  '2bit-speedq': 'web/public/models/pico-2bit',
  '4bit-speedq': 'web/public/models/pico-4bit',
};
/** What the quantizer trains on; the pipeline draws the same. */
const CALIBRATION = 'runs/data/calibration';
const CALIBRATION_SEED = 20;
const CALIBRATION_COUNT = 12_000;
/** Drawn from the contents that training never shows. */
const TEST_SEED = 2026;
const SHUFFLE_SEED = 1;

export interface ResultsOptions {
  /** Folder of the float model. */
  readonly model: string;
  /** Questions of the test. */
  readonly count: number;
  /** Folder for data, models and measurements. */
  readonly out: string;
}

/** One command whose result is kept. */
export interface Job {
  readonly id: string;
  readonly argv: readonly string[];
  /** Files and folders that decide the result. */
  readonly inputs: readonly string[];
  /** Without these the job is done again. */
  readonly outputs: readonly string[];
  /** Whoever else made the outputs, they are taken as they are. */
  readonly keepExisting?: boolean;
}

export interface Variant {
  readonly id: string;
  readonly recipe: string;
  readonly method: 'speedq' | 'rtn';
  /** Packed folder. */
  readonly model: string;
}

export const FLOAT_RUNS = ['float', 'float-blank', 'float-shuffled'] as const;

export function variants({ model, out }: ResultsOptions): Variant[] {
  return ['2bit', '2bit-g128', '4bit'].flatMap((recipe) =>
    (['rtn', 'speedq'] as const).map((method): Variant => {
      const id = `${recipe}-${method}`;
      const shipped = model === PICO ? SHIPPED[id] : undefined;
      return { id, recipe, method, model: shipped ?? join(out, 'models', id) };
    }),
  );
}

function testTable({ out }: ResultsOptions): string {
  return join(out, 'test.tsv');
}

export function testData(options: ResultsOptions): Job {
  const folder = join(options.out, 'test');
  const tsv = testTable(options);
  const drawn = ['--seed', `${TEST_SEED}`, '--count', `${options.count}`, '--split', 'test'];
  return {
    id: 'test-data',
    argv: ['data', ...drawn, '--out', folder, '--tsv', tsv, '--force'],
    inputs: [],
    outputs: [folder, tsv],
  };
}

/** Other counts than the pipeline's have folders of their own. */
export function calibrationData(count = CALIBRATION_COUNT): Job {
  const drawn = ['--seed', `${CALIBRATION_SEED}`, '--count', `${count}`];
  const suffix = count === CALIBRATION_COUNT ? '' : `-${count}`;
  const out = `${CALIBRATION}${suffix}`;
  return {
    id: `calibration-data${suffix}`,
    argv: ['data', ...drawn, '--out', out],
    inputs: [],
    outputs: [out],
    keepExisting: true,
  };
}

export function predictionsFile({ out }: ResultsOptions, id: string): string {
  return join(out, `${id}.jsonl`);
}

export function evaluation(
  options: ResultsOptions,
  id: string,
  model: string,
  extra: readonly string[],
): Job {
  const tsv = testTable(options);
  const out = predictionsFile(options, id);
  return {
    id,
    argv: ['eval', model, '--data', tsv, ...extra, '--threads', '1', '--out', out, '--force'],
    inputs: [model, tsv],
    outputs: [out],
  };
}

/** The float model on its own pictures, on grey ones and on those of other questions. */
export function floatJobs(options: ResultsOptions): Job[] {
  const [own, blank, shuffled] = FLOAT_RUNS;
  return [
    evaluation(options, own, options.model, []),
    evaluation(options, blank, options.model, ['--blank-pictures']),
    evaluation(options, shuffled, options.model, ['--shuffle-pictures', `${SHUFFLE_SEED}`]),
  ];
}

/** Quantize, weigh, evaluate beside the float model. */
export function variantJobs(options: ResultsOptions, { id, recipe, method, model }: Variant): Job[] {
  const isShipped = Object.values(SHIPPED).includes(model);
  // One thread: the order of sums, and so the bytes, depend on their number.
  const training = method === 'speedq' ? ['--data', CALIBRATION, '--threads', '1'] : [];
  const beside = evaluation(options, id, model, ['--reference', options.model]);
  return [
    {
      id: `${id}-quantize`,
      argv: [
        'quantize',
        options.model,
        '--recipe',
        recipe,
        '--method',
        method,
        ...training,
        '--out',
        model,
        '--force',
      ],
      inputs: [options.model, ...(method === 'speedq' ? [join(CALIBRATION, 'data.jsonl')] : [])],
      outputs: [model],
      keepExisting: isShipped,
    },
    { id: `${id}-inspect`, argv: ['inspect', model], inputs: [model], outputs: [] },
    { ...beside, inputs: [...beside.inputs, options.model] },
  ];
}
