import type { ModelPart } from '@speedq/model';
import { meanTopProbability } from '@speedq/onnx';
import { createRandom } from '../data/random.ts';
import { learnedOf, openScales, scaleRates, settleScales } from './learned-scales.ts';
import { clampToSearchedRanges } from './clip-init.ts';
import { RANDOM } from './context.ts';
import type { StageContext } from './context.ts';
import { orderBatches } from './data/batches.ts';
import type { BatchOrder } from './data/batches.ts';
import { openDropPathFeatures, openVisionFeatures } from './features.ts';
import { LanguageStep } from './language-step.ts';
import { interrupted } from './reporter.ts';
import { Teacher } from './teacher.ts';
import { trainParameters } from './training-loop.ts';

const PIECE = 'stage-3';
const CLIPPED = 'stage-3-clipped';

export interface LanguageStageResult {
  readonly losses: Readonly<Record<string, number>>;
  readonly gamma: number | 'per-token';
}

/** Which conversations each update sees. */
export function languageOrder({
  samples,
  seed,
  recipe: { stage3, fixes },
}: Pick<StageContext, 'samples' | 'seed' | 'recipe'>): BatchOrder {
  const { batchSize, microBatch, packing } = stage3;
  return orderBatches(samples, {
    ...{ batchSize, microBatch, packing },
    unshifted: !fixes.shiftDistillationMask,
    seed: createRandom(seed, RANDOM.stage3).int(2 ** 31),
  });
}

/**
 * Stage 3: quantization-aware training of projector and language model behind the frozen quantized encoder, with
 * the original model, or a larger one, as teacher: CAKLD and cross-entropy (SPEED-Q, arXiv 2511.08914). Tables stay as they are.
 */
export async function trainLanguageModel(context: StageContext): Promise<LanguageStageResult> {
  const { student, recipe, checkpoints, device } = context;
  const { stage3, fixes } = recipe;
  const { steps } = stage3;
  const unshifted = !fixes.shiftDistillationMask;
  const quantized = new Set([...student.bilevelNames('projector'), ...student.bilevelNames('language')]);
  const open = fixes.noDropPath ? openVisionFeatures : openDropPathFeatures;
  const features = await open(context, student.parameters, 'features-student');
  const teacher = await Teacher.open(context, { unshifted });
  const order = languageOrder(context);
  let gamma = stage3.gamma;
  try {
    const prepared = await checkpoints.finished(CLIPPED);
    if (prepared !== undefined) {
      const kept = prepared.metadata.gamma;
      gamma = kept === 'per-token' ? kept : Number(kept);
      for (const [name, values] of prepared.tensors) student.unsettle(name, values as Float32Array);
    } else {
      if (gamma === 'measured') gamma = await measureGamma(context, teacher, order);
      if (stage3.clipSearchTokens > 0) await clampToSearchedRanges(context, [...quantized], features);
      if (stage3.learnedScales) for (const name of quantized) openScales(student, name);
      const names = [...quantized, ...(stage3.learnedScales ? learnedOf(quantized) : [])];
      const tensors = new Map(names.map((name) => [name, student.parameters.get(name)!]));
      await checkpoints.finish(CLIPPED, { metadata: { gamma: `${gamma}` }, tensors });
    }
    const rates = stage3.learnedScales ? scaleRates(student, quantized, stage3.scaleRate) : new Map();
    const trains = (name: string) => rates.has(name) || TRAINED_PARTS.includes(student.spec(name).part);
    const step = new LanguageStep(context, {
      features,
      scheme: (name) => (quantized.has(name) ? student.bilevelScheme(name) : undefined),
      reference: !fixes.storedArithmetic,
      learned: stage3.learnedScales,
      trains,
      loss: {
        ceWeight: stage3.crossEntropyWeight,
        kdWeight: stage3.distillationWeight,
        labelSmoothing: stage3.labelSmoothing,
      },
      ...(stage3.distillationWeight > 0 && {
        distillation: { teacher, gamma, unshifted, summed: !fixes.averageDistillation },
      }),
    });
    try {
      const losses = await trainParameters(context, {
        ...{ piece: PIECE, label: 'stage 3, language model', steps, settings: stage3, device },
        trained: [...student.namesOf(...TRAINED_PARTS), ...rates.keys()],
        rates,
        compute: async (number, trained) => {
          const { losses, gradients } = await step.run(order.at(number), number, trained);
          return { losses: { ...losses }, gradients };
        },
      });
      if (stage3.learnedScales) for (const name of quantized) settleScales(student, name);
      return { losses, gamma };
    } finally {
      await step.release();
    }
  } finally {
    await teacher.release();
    await features.release();
  }
}

const TRAINED_PARTS: readonly ModelPart[] = ['projector', 'language'];

/**
 * γ, the teacher's mean top-1 probability: over answer tokens of the first batches; or, as in the reference
 * (flaw 3), over every position of one batch more, padding included, divided by the number of batches.
 */
async function measureGamma(
  { reporter, recipe: { stage3, fixes } }: StageContext,
  teacher: Teacher,
  order: BatchOrder,
): Promise<number> {
  const { gammaBatches } = stage3;
  const batches = fixes.gammaOverAnswers ? gammaBatches : gammaBatches + 1;
  reporter.start("stage 3, the teacher's confidence", batches);
  let sum = 0;
  const answers: number[] = [];
  for (let number = 0; number < batches; number++) {
    if (reporter.stopRequested()) throw interrupted('the measurement of γ');
    const everywhere: number[] = [];
    for (const { sequences, length } of order.at(number).microBatches) {
      for (const index of sequences.flat()) {
        if (fixes.gammaOverAnswers) answers.push(...(await teacher.answer(index)).topProbability);
        else everywhere.push(...(await teacher.everywhere(index, length)));
      }
    }
    sum += meanTopProbability(everywhere);
    reporter.progress(number + 1);
  }
  const gamma = fixes.gammaOverAnswers ? meanTopProbability(answers) : sum / gammaBatches;
  reporter.finish(`γ ${gamma.toFixed(3)}`);
  return gamma;
}
