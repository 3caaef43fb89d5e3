import { ADAMW_DEFAULTS } from '@speedq/onnx';
import type { AdamWSettings } from '@speedq/onnx';
import { requireFinite } from './checkpoints.ts';
import type { StageContext } from './context.ts';
import { Optimizer } from './optimizer.ts';
import { cosineRate } from './schedule.ts';
import { traceDivergence } from './trace.ts';

export interface TrainingLoop {
  /** Of the checkpoint. */
  readonly piece: string;
  readonly label: string;
  readonly steps: number;
  /** Names of the student's parameters that are trained. */
  readonly trained: readonly string[];
  /** What the learning rate is multiplied with, where it is not 1; these are not decayed. */
  readonly rates?: ReadonlyMap<string, number>;
  readonly settings: Partial<AdamWSettings> & {
    readonly learningRate: number;
    readonly warmupRatio: number;
    readonly clipNorm?: number;
  };
  /** Losses of an update, and gradients by parameter. */
  readonly compute: (step: number) => Promise<{
    readonly losses: Readonly<Record<string, number>>;
    readonly gradients: ReadonlyMap<string, Float32Array>;
  }>;
}

/** Before anything is updated; where it diverged, says in which layer that begins. */
async function requireFiniteStep(
  context: StageContext,
  value: number,
  where: string,
  gradients: ReadonlyMap<string, Float32Array>,
): Promise<void> {
  if (!Number.isFinite(value)) requireFinite(value, where, await traceDivergence(context, gradients));
}

/** Loss events of a stage under --json, whatever its length. */
const LOSS_EVENTS = 100;

/**
 * Trains parameters of the student in place of their old values, from a checkpoint where there is one, and
 * leaves a finished one. Returns the last losses.
 */
export async function trainParameters(
  context: StageContext,
  { piece, label, steps, trained, rates, settings, compute }: TrainingLoop,
): Promise<Readonly<Record<string, number>>> {
  const { student, checkpoints, reporter } = context;
  const optimizer = new Optimizer(
    trained.map((name) => {
      const data = student.parameters.get(name)!;
      const rate = rates?.get(name);
      return { name, shape: rate === undefined ? student.spec(name).shape : [data.length], data, rate };
    }),
  );
  for (const [name, values] of optimizer.views()) student.parameters.hold(name, values);
  const finished = await checkpoints.finished(piece);
  if (finished !== undefined) {
    optimizer.restore(finished, steps);
    return JSON.parse(finished.metadata.losses) as Record<string, number>;
  }
  const underWay = await checkpoints.underWay(piece);
  const first = underWay?.step ?? 0;
  if (underWay !== undefined) optimizer.restore(underWay.state, first);
  reporter.start(label, steps - first);
  const { warmupRatio, clipNorm = 0, ...adam } = settings;
  const every = Math.ceil(steps / LOSS_EVENTS);
  let smoothed: number | undefined;
  let losses: Readonly<Record<string, number>> = {};
  for (let step = first; step < steps; step++) {
    const learningRate = cosineRate(step, steps, settings.learningRate, warmupRatio);
    const computed = await compute(step);
    losses = computed.losses;
    await requireFiniteStep(context, losses.total, `${label}, step ${step}`, computed.gradients);
    const norm = optimizer.update(computed.gradients, { ...ADAMW_DEFAULTS, ...adam, learningRate, clipNorm });
    await requireFiniteStep(context, norm, `${label}, step ${step}`, computed.gradients);
    smoothed = smoothed === undefined ? losses.total : 0.9 * smoothed + 0.1 * losses.total;
    reporter.progress(step + 1 - first, `loss ${smoothed.toPrecision(3)}`);
    if (step % every === 0 || step === steps - 1) {
      reporter.event('loss', { stage: piece, step, ...losses, norm, learningRate });
    }
    await checkpoints.step(piece, step + 1, () => ({ metadata: {}, tensors: optimizer.state() }));
  }
  await checkpoints.finish(piece, {
    metadata: { losses: JSON.stringify(losses) },
    tensors: optimizer.state(),
  });
  reporter.finish(`loss ${(smoothed ?? 0).toPrecision(3)}`);
  return losses;
}
