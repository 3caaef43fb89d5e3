import { createRandom } from '../data/random.ts';
import { RANDOM, ort } from './context.ts';
import type { StageContext } from './context.ts';
import { orderBatches } from './data/batches.ts';
import { openDevice } from './device.ts';
import { openDropPathFeatures, openVisionFeatures } from './features.ts';
import type { VisionFeatures } from './features.ts';
import { LanguageStep } from './language-step.ts';
import { ProjectorStep } from './projector-step.ts';
import { stopIfAsked } from './reporter.ts';
import { trainParameters } from './training-loop.ts';
import type { TrainingLoop } from './training-loop.ts';

const PIECE = 'stage-2';

/**
 * Stage 2: the projector alone, behind the quantized vision encoder. By 'features' it learns to give the language
 * model what the original gives it; by 'cross-entropy' it learns from the answers, through the float language model.
 */
export async function trainProjector(context: StageContext): Promise<Readonly<Record<string, number>>> {
  const { student, recipe, reporter, samples } = context;
  stopIfAsked(reporter, 'stage 2');
  if (!samples.some(({ tiles }) => tiles > 0)) {
    reporter.note('Stage 2 is left out: the training data has no pictures.');
    return {};
  }
  const { steps, learningRate, warmupRatio, weightDecay, objective } = recipe.stage2;
  if (objective === 'features' && student.bilevelNames('vision').length === 0) {
    // There is no difference to learn, and Adam would take its steps from rounding noise.
    reporter.note('Stage 2 is left out: the vision encoder stays float.');
    return {};
  }
  const trained = student.namesOf('projector');
  const loop = {
    ...{ piece: PIECE, label: 'stage 2, projector', steps, trained },
    settings: { learningRate, warmupRatio, weightDecay, clipNorm: 1 },
  };
  return objective === 'features' ? matchFeatures(context, loop) : learnAnswers(context, loop);
}

type Loop = Omit<TrainingLoop, 'compute' | 'device'>;

async function matchFeatures(context: StageContext, loop: Loop) {
  const { config, student, original: float, recipe, seed, threads, pictures } = context;
  const { batchSize } = recipe.stage2;
  const step = await ProjectorStep.create(config, batchSize, threads);
  const own = await openVisionFeatures(context, student.parameters, 'features-student');
  const original = await openVisionFeatures(context, float, 'features-original');
  try {
    const tiles = pictures.pictures.flatMap((picture, index) =>
      Array.from({ length: picture.tiles }, (_, tile) => ({ index, tile })),
    );
    const { tileSize } = own;
    const batch = {
      own: new Float32Array(batchSize * tileSize),
      original: new Float32Array(batchSize * tileSize),
    };
    const readTile = async (
      from: VisionFeatures,
      { index, tile }: (typeof tiles)[number],
      into: Float32Array,
    ) => {
      const whole = new Float32Array(pictures.pictures[index].tiles * tileSize);
      await from.read(index, whole, []);
      into.set(whole.subarray(tile * tileSize, (tile + 1) * tileSize));
    };
    return await trainParameters(context, {
      ...loop,
      device: await openDevice(ort, 'cpu'),
      compute: async (number) => {
        const random = createRandom(seed, RANDOM.stage2, number);
        for (let slot = 0; slot < batchSize; slot++) {
          const tile = random.pick(tiles);
          const into = (array: Float32Array) => array.subarray(slot * tileSize, (slot + 1) * tileSize);
          await readTile(own, tile, into(batch.own));
          await readTile(original, tile, into(batch.original));
        }
        const total = await step.run(
          { parameters: student.parameters, features: batch.own },
          { parameters: float, features: batch.original },
        );
        return { losses: { total }, gradients: step.gradients };
      },
    });
  } finally {
    await own.release();
    await original.release();
    await step.release();
  }
}

async function learnAnswers(context: StageContext, loop: Loop) {
  const { student, samples, recipe, seed, device } = context;
  const { batchSize } = recipe.stage2;
  const open = recipe.fixes.noDropPath ? openVisionFeatures : openDropPathFeatures;
  const features = await open(context, student.parameters, 'features-student');
  const { microBatch, packing } = recipe.stage3;
  const step = new LanguageStep(context, {
    features,
    trains: (name) => student.spec(name).part === 'projector',
    loss: { ceWeight: 1, kdWeight: 0, labelSmoothing: 0 },
  });
  // Text alone does not reach the projector.
  const pictured = samples.flatMap((sample, index) => (sample.tiles > 0 ? [index] : []));
  const order = orderBatches(
    samples,
    { ...{ batchSize, microBatch, packing }, seed: createRandom(seed, RANDOM.stage2).int(2 ** 31) },
    pictured,
  );
  try {
    return await trainParameters(context, {
      ...loop,
      device,
      compute: async (number, trained) => {
        const { losses, gradients } = await step.run(order.at(number), number, trained);
        return { losses: { ...losses }, gradients };
      },
    });
  } finally {
    await step.release();
    await features.release();
  }
}
