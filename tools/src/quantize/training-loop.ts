import { ADAMW_DEFAULTS } from '@speedq/onnx';
import type { AdamWSettings, Feed, ParameterValues } from '@speedq/onnx';
import { requireFinite } from './checkpoints.ts';
import type { StageContext } from './context.ts';
import type { Device, ResidentOptimizer } from './device.ts';
import { cosineRate } from './schedule.ts';
import { traceDivergence } from './trace.ts';

export interface TrainingLoop {
  /** Of the checkpoint. */
  readonly piece: string;
  readonly label: string;
  readonly device: Device;
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
  /** Losses of an update, and gradients by parameter in the device's memory, for the present values of `trained`. */
  readonly compute: (
    step: number,
    trained: ParameterValues,
  ) => Promise<{
    readonly losses: Readonly<Record<string, number>>;
    readonly gradients: ReadonlyMap<string, Feed>;
  }>;
}

/** Before anything is updated; where it diverged, says in which layer that begins. */
async function requireFiniteStep(
  context: StageContext,
  value: number,
  where: string,
  { device, optimizer }: { readonly device: Device; readonly optimizer: ResidentOptimizer },
  gradients: ReadonlyMap<string, Feed>,
): Promise<void> {
  if (Number.isFinite(value)) return;
  await giveBack(context, optimizer);
  const arrays = new Map<string, Float32Array>();
  for (const [name, gradient] of gradients) arrays.set(name, await device.memory.download(gradient));
  requireFinite(value, where, await traceDivergence(context, arrays));
}

/** The trained values to the student. */
async function giveBack({ student }: StageContext, optimizer: ResidentOptimizer): Promise<void> {
  for (const [name, values] of await optimizer.values()) student.parameters.hold(name, values);
}

/** Loss events of a stage under --json, whatever its length. */
const LOSS_EVENTS = 100;

/**
 * Trains parameters of the student in place of their old values, from a checkpoint where there is one, and
 * leaves a finished one. Returns the last losses.
 */
export async function trainParameters(
  context: StageContext,
  loop: TrainingLoop,
): Promise<Readonly<Record<string, number>>> {
  const { student } = context;
  const { device, trained, rates } = loop;
  const optimizer = await device.openOptimizer(
    trained.map((name) => {
      const data = student.parameters.get(name)!;
      const rate = rates?.get(name);
      return { name, shape: rate === undefined ? student.spec(name).shape : [data.length], data, rate };
    }),
  );
  try {
    // Where values stay in arrays, these change in place: the old ones are not needed.
    if (device.isHost) await giveBack(context, optimizer);
    const losses = await runUpdates(context, loop, optimizer);
    await giveBack(context, optimizer);
    return losses;
  } finally {
    await optimizer.release();
  }
}

async function runUpdates(
  context: StageContext,
  { piece, label, steps, settings, device, compute }: TrainingLoop,
  optimizer: ResidentOptimizer,
): Promise<Readonly<Record<string, number>>> {
  const { checkpoints, reporter } = context;
  const finished = await checkpoints.finished(piece);
  if (finished !== undefined) {
    await optimizer.restore(finished, steps);
    return JSON.parse(finished.metadata.losses) as Record<string, number>;
  }
  const place = { device, optimizer };
  const underWay = await checkpoints.underWay(piece);
  const first = underWay?.step ?? 0;
  if (underWay !== undefined) await optimizer.restore(underWay.state, first);
  reporter.start(label, steps - first);
  const { warmupRatio, clipNorm = 0, ...adam } = settings;
  const every = Math.ceil(steps / LOSS_EVENTS);
  let smoothed: number | undefined;
  let losses: Readonly<Record<string, number>> = {};
  for (let step = first; step < steps; step++) {
    const learningRate = cosineRate(step, steps, settings.learningRate, warmupRatio);
    const computed = await compute(step, optimizer.parameters());
    losses = computed.losses;
    await requireFiniteStep(context, losses.total, `${label}, step ${step}`, place, computed.gradients);
    const norm = await optimizer.update(computed.gradients, {
      ...ADAMW_DEFAULTS,
      ...adam,
      ...{ learningRate, clipNorm },
    });
    await requireFiniteStep(context, norm, `${label}, step ${step}`, place, computed.gradients);
    smoothed = smoothed === undefined ? losses.total : 0.9 * smoothed + 0.1 * losses.total;
    reporter.progress(step + 1 - first, `loss ${smoothed.toPrecision(3)}`);
    if (step % every === 0 || step === steps - 1) {
      reporter.event('loss', { stage: piece, step, ...losses, norm, learningRate });
    }
    await checkpoints.step(piece, step + 1, async () => ({
      metadata: {},
      tensors: await optimizer.state(),
    }));
  }
  await checkpoints.finish(piece, {
    metadata: { losses: JSON.stringify(losses) },
    tensors: await optimizer.state(),
  });
  reporter.finish(`loss ${(smoothed ?? 0).toPrecision(3)}`);
  return losses;
}
