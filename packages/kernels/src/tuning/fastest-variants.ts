import { offers } from '../engine/capabilities.ts';
import { withErrorScopes } from '../engine/errors.ts';
import type { CaseVariant } from '../engine/recorder.ts';
import type { VariantChoice } from '../engine/variants.ts';
import type { TrialCase } from './trial.ts';
import { Trial } from './trial.ts';
import type { TimedRun } from './time-steps.ts';
import type { VariantStore } from './variant-store.ts';
import { adapterName, fingerprint } from './variant-store.ts';

export interface TuningOptions {
  /** `navigator.gpu.wgslLanguageFeatures`. */
  readonly languageFeatures: Pick<ReadonlySet<string>, 'has'>;
  readonly store?: VariantStore;
  /**
   * Also try variants that round activations (to fp16 or 8-bit codes) and so may change answers. Default false: what
   * a model says does not depend on which kernel is fastest on a device.
   */
  readonly allowRounding?: boolean;
  readonly signal?: AbortSignal;
  /** Told of every variant that was tried. */
  readonly onTrial?: (result: TrialResult) => void;
}

export interface TrialResult {
  readonly key: string;
  readonly variant: string;
  /** Difference to the plain variant over its largest value; undefined where it did not run. */
  readonly error?: number;
  /** Of one run; undefined where it was not right. */
  readonly seconds?: number;
  /** Why it was not timed. */
  readonly refused?: string;
}

/** Variants that differ from the plain one by more do more than sum in another order. */
const REORDERING_TOLERANCE = 1e-4;

/** A variant must be this much faster than the plain one: less than that is noise. */
const MIN_GAIN = 1.03;

const ROUNDS = 4;

/**
 * The fastest variants on this device, of those that compute what the plain ones do: each is first checked, then
 * timed. What the store knows of this adapter and these programs is taken from there.
 * @throws what the signal says, and SpeedqError 'device-lost'
 */
export async function fastestVariants(
  device: GPUDevice,
  cases: readonly TrialCase[],
  { languageFeatures, store, allowRounding = false, signal, onTrial }: TuningOptions,
): Promise<VariantChoice> {
  const adapter = adapterName(device.adapterInfo);
  const known = { ...(await store?.read(adapter)) };
  const choice: Record<string, string> = {};
  let measured = false;
  for (const one of cases) {
    signal?.throwIfAborted();
    const { key, variants } = one.variantCase;
    const candidates = variants.filter(
      ({ needs, tolerance }) =>
        offers(device, languageFeatures, needs) && (allowRounding || tolerance <= REORDERING_TOLERANCE),
    );
    if (key in choice || candidates.length < 2) continue;
    const programs = candidates.flatMap(({ dispatches }) => dispatches().map(({ program }) => program));
    const entry = `${key} ${fingerprint(programs.map(({ code }) => code))}`;
    const stored = candidates.find(({ name }) => name === known[entry]);
    choice[key] = stored?.name ?? (await fastest(device, one, candidates, onTrial));
    if (stored === undefined) {
      known[entry] = choice[key];
      measured = true;
    }
  }
  if (measured) await store?.write(adapter, known);
  return choice;
}

async function fastest(
  device: GPUDevice,
  trialCase: TrialCase,
  candidates: readonly CaseVariant[],
  onTrial: TuningOptions['onTrial'],
): Promise<string> {
  const { key } = trialCase.variantCase;
  const trial = new Trial(device, trialCase);
  try {
    // All at once, which is faster. Complaints are of no interest before a variant is tried.
    const programs = candidates.flatMap(({ dispatches }) => dispatches().map(({ program }) => program));
    await withErrorScopes(device, 'the variants', () => trial.compile(programs)).catch(() => undefined);
    const [plain, ...others] = candidates;
    const check = (variant: CaseVariant, expected?: Float32Array) =>
      withErrorScopes(device, `${key}, ${variant.name}`, async () => {
        const plan = await trial.prepare(variant.dispatches());
        const output = await trial.output(plan);
        return { variant, plan, output, error: expected ? relativeError(output, expected) : 0 };
      });
    const reference = await check(plain);
    const right = [{ ...reference, run: trial.timed(reference.plan) }];
    for (const variant of others) {
      try {
        const checked = await check(variant, reference.output);
        const { error } = checked;
        if (error <= variant.tolerance) right.push({ ...checked, run: trial.timed(checked.plan) });
        else {
          const refused = `differs by ${error}, more than ${variant.tolerance}`;
          onTrial?.({ key, variant: variant.name, error, refused });
        }
      } catch (cause) {
        // A compiler that fails, or memory that is short: the plain one remains.
        onTrial?.({ key, variant: variant.name, refused: (cause as Error).message });
      }
    }
    const times = await leastSeconds(right.map(({ run }) => run));
    right.forEach(({ variant, error }, i) => {
      onTrial?.({ key, variant: variant.name, error, seconds: times[i] });
    });
    const best = times.indexOf(Math.min(...times));
    return right[times[best] < times[0] / MIN_GAIN ? best : 0].variant.name;
  } finally {
    trial.destroy();
  }
}

/**
 * In turns, because the clock of a device rises while it works and what was measured later would seem faster; the
 * least of the rounds, which others on the device disturbed least.
 */
async function leastSeconds(runs: readonly TimedRun[]): Promise<number[]> {
  const least = new Array<number>(runs.length).fill(Infinity);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, run] of runs.entries()) least[i] = Math.min(least[i], await run.seconds());
  }
  return least;
}

/** Largest difference over the largest expected value; infinite where something is not a number. */
function relativeError(actual: Float32Array, expected: Float32Array): number {
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(actual[i] - expected[i]);
    if (!Number.isFinite(d)) return Infinity;
    difference = Math.max(difference, d);
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return difference / Math.max(largest, 1e-30);
}
