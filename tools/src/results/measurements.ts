import { readFile } from 'node:fs/promises';
import type { Evaluation, Prediction } from '../eval/evaluate.ts';
import type { StorageRow } from '../packing/summary.ts';
import { readRecord } from './job.ts';
import type { JobRecord } from './job.ts';
import { FLOAT_RUNS, predictionsFile, variants } from './plan.ts';
import type { ResultsOptions, Variant } from './plan.ts';
import { retention } from './retention.ts';
import type { Pair, Retention } from './retention.ts';

/** A kept evaluation. */
export interface Measured {
  readonly command: string;
  readonly evaluation: Evaluation;
}

export interface MeasuredVariant extends Measured {
  readonly variant: Variant;
  readonly quantizeCommand: string;
  readonly storage: readonly StorageRow[];
  /** Of the whole folder. */
  readonly fileBytes: number;
  readonly retention: Retention;
  /** By category; chance and float accuracy as in the float run. */
  readonly categoryRetention: Readonly<Record<string, Retention>>;
}

/** What has been measured so far. */
export interface Measurements {
  readonly testCommand: string;
  readonly calibrationCommand: string | undefined;
  readonly float: Readonly<Partial<Record<(typeof FLOAT_RUNS)[number], Measured>>>;
  readonly variants: readonly MeasuredVariant[];
}

export async function readMeasurements(options: ResultsOptions): Promise<Measurements> {
  const { out } = options;
  const float: Partial<Record<(typeof FLOAT_RUNS)[number], Measured>> = {};
  for (const id of FLOAT_RUNS) {
    const record = await readRecord(out, id);
    if (record !== undefined) float[id] = measured(record);
  }
  const all: MeasuredVariant[] = [];
  const baseline = float.float === undefined ? undefined : await readPredictions(options, 'float');
  for (const variant of variants(options)) {
    const [record, quantized, inspected] = await Promise.all(
      [variant.id, `${variant.id}-quantize`, `${variant.id}-inspect`].map((id) => readRecord(out, id)),
    );
    if (record === undefined || quantized === undefined || inspected === undefined) continue;
    if (baseline === undefined) continue;
    const pairs = pair(baseline, await readPredictions(options, variant.id));
    const categories = [...new Set(baseline.map(({ category }) => category))].sort();
    const { storage, fileBytes } = inspected.result as { storage: StorageRow[]; fileBytes: number };
    all.push({
      ...measured(record),
      variant,
      quantizeCommand: quantized.command,
      storage,
      fileBytes,
      retention: retention(pairs),
      categoryRetention: Object.fromEntries(
        categories.map((category) => [category, retention(pairs.filter((one) => one.category === category))]),
      ),
    });
  }
  return {
    testCommand: (await readRecord(out, 'test-data'))?.command ?? '',
    calibrationCommand: (await readRecord(out, 'calibration-data'))?.command,
    float,
    variants: all,
  };
}

function measured({ command, result }: JobRecord): Measured {
  return { command, evaluation: result as unknown as Evaluation };
}

export async function readPredictions(options: ResultsOptions, id: string): Promise<Prediction[]> {
  const text = await readFile(predictionsFile(options, id), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Prediction);
}

/** The same questions answered by both; those that only one was asked are left out. */
function pair(
  float: readonly Prediction[],
  model: readonly Prediction[],
): (Pair & { readonly category: string })[] {
  const answers = new Map(model.map((prediction) => [prediction.index, prediction]));
  return float.flatMap(({ index, category, hit, chance }) => {
    const other = answers.get(index);
    return other === undefined
      ? []
      : [{ category, float: Number(hit), model: Number(other.hit), chance: chance.blind }];
  });
}
