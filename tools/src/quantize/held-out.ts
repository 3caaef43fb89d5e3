import { TeacherForward } from '@speedq/onnx';
import type { Parameters } from '@speedq/onnx';
import { ort, partitionFor } from './context.ts';
import type { StageContext } from './context.ts';
import { languageInputs, paddedLength, sampleRows } from './data/micro-batch.ts';
import type { Sample } from './data/samples.ts';
import { openVisionFeatures } from './features.ts';
import type { VisionFeatures } from './features.ts';
import type { Divergence } from './job.ts';
import { LimitedMap } from './limited-map.ts';
import { stopIfAsked } from './reporter.ts';

/** Conversations that are kept out, at most; and at most a tenth of all. */
export const HELD_OUT = 32;
const SESSIONS = 8;

/** The float model that is quantized, whoever taught, and its result under teacher forcing, the quantized one by the float values that its codes stand for. */
export async function measureDivergence(
  context: StageContext,
  heldOut: readonly Sample[],
): Promise<Divergence | undefined> {
  if (heldOut.length === 0) return undefined;
  const { config, student, original: float, threads, reporter } = context;
  const sessions = new LimitedMap<TeacherForward>(SESSIONS);
  const own = await openVisionFeatures(context, student.parameters, 'features-student');
  const original = await openVisionFeatures(context, float, 'features-original');
  let [tokens, kl, same] = [0, 0, 0];
  const logitsOf = async (sample: Sample, parameters: Parameters, features: VisionFeatures) => {
    const { tiles } = sample;
    const length = paddedLength(sample.ids.length);
    const session = await sessions.get(`${length} ${tiles}`, () =>
      TeacherForward.create(ort, config, {
        ...{ batch: 1, length, tiles, threads },
        partition: partitionFor(config),
      }),
    );
    const visionFeatures = tiles > 0 ? await featuresOf(context, sample, features) : undefined;
    const inputs = { ...languageInputs(config, [[sample]], { length, tiles }), visionFeatures };
    return (await session.run(parameters, inputs, sampleRows(sample).selected)).logits!;
  };
  reporter.start('distance to the float model', heldOut.length);
  try {
    for (const [index, sample] of heldOut.entries()) {
      stopIfAsked(reporter, 'the measurement of the result');
      const wanted = await logitsOf(sample, float, original);
      const found = await logitsOf(sample, student.parameters, own);
      const { vocabSize } = config.language;
      for (let start = 0; start < wanted.length; start += vocabSize) {
        const p = wanted.subarray(start, start + vocabSize);
        const q = found.subarray(start, start + vocabSize);
        kl += divergence(p, q);
        same += mostProbable(p) === mostProbable(q) ? 1 : 0;
        tokens++;
      }
      reporter.progress(index + 1);
    }
  } finally {
    await sessions.releaseAll();
    await own.release();
    await original.release();
  }
  const measured = { conversations: heldOut.length, tokens, kl: kl / tokens, sameToken: same / tokens };
  reporter.event('divergence', { ...measured });
  reporter.finish(`KL ${measured.kl.toPrecision(3)}`);
  return measured;
}

async function featuresOf(
  { pictures }: StageContext,
  { pictures: used, tiles }: Sample,
  features: VisionFeatures,
): Promise<Float32Array> {
  const all = new Float32Array(tiles * features.tileSize);
  let offset = 0;
  for (const picture of used) {
    const size = pictures.pictures[picture].tiles * features.tileSize;
    await features.read(picture, all.subarray(offset, offset + size), []);
    offset += size;
  }
  return all;
}

/** KL(softmax p ‖ softmax q). */
function divergence(p: Float32Array, q: Float32Array): number {
  const [a, b] = [logSumExp(p), logSumExp(q)];
  let sum = 0;
  for (let i = 0; i < p.length; i++) sum += Math.exp(p[i] - a) * (p[i] - a - (q[i] - b));
  return sum;
}

function logSumExp(values: Float32Array): number {
  let most = -Infinity;
  for (const value of values) if (value > most) most = value;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - most);
  return most + Math.log(sum);
}

function mostProbable(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
