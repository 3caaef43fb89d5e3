import { dequantizeBilevel, packBilevel } from '@speedq/format';
import type { BilevelScheme, BilevelTensor } from '@speedq/format';
import type { StageContext } from '../context.ts';
import type { QuantizeSummary } from '../job.ts';
import { stopIfAsked } from '../reporter.ts';
import type { State } from '../state-file.ts';
import type { Student } from '../student.ts';
import { embedCalibration, meanSquaredError, runBlock } from './calibration.ts';
import type { Activations } from './calibration.ts';
import { reconstructBlock, withCodes } from './reconstruct-block.ts';
import type { RoundedWeight } from './reconstruct-block.ts';
import { ReconstructionStep } from './reconstruction-step.ts';
import { VisionBlocks, asLayer0 } from './vision-blocks.ts';

type BlockErrors = QuantizeSummary['blocks'][number];

/**
 * Stage 1: the vision encoder, one transformer block after the other, on pictures alone (BRECQ, arXiv 2102.05426,
 * with learned rounding). Each block learns to give the float block's output from what the quantized blocks
 * before it yield. Settles the encoder's linears in the student.
 */
export async function roundVisionEncoder(context: StageContext): Promise<BlockErrors[]> {
  const { config, recipe, student, teacher, pictures, checkpoints, reporter, seed, threads } = context;
  const { numLayers } = config.vision;
  const { calibrationImages, iterations, batchSize } = recipe.stage1;
  const errors: BlockErrors[] = [];
  const blocks = await VisionBlocks.create(config, threads);
  let step: { readonly key: string; readonly session: ReconstructionStep } | undefined;
  try {
    const calibration = { limit: calibrationImages, seed, tileSize: config.vision.imageSize };
    let quantizedInput = await embedCalibration(blocks, student.parameters, pictures, calibration);
    let floatInput = await embedCalibration(blocks, teacher, pictures, calibration);
    for (let layer = 0; layer < numLayers; layer++) {
      stopIfAsked(reporter, `block ${layer} of the vision encoder`);
      const target = await runBlock(blocks, teacher, layer, floatInput);
      const weights = blockWeights(student, layer);
      const name = `stage-1-block-${layer}`;
      const finished = await checkpoints.finished(name);
      if (finished !== undefined) {
        restoreBlock(student, weights, finished);
        errors.push(JSON.parse(finished.metadata.errors) as BlockErrors);
      } else if (weights.size > 0) {
        const schemes = new Map(
          [...weights].map(([weight, { scheme }]) => [asLayer0(weight, layer), scheme]),
        );
        const key = JSON.stringify([...schemes]);
        if (step?.key !== key) {
          await step?.session.release();
          step = { key, session: await ReconstructionStep.create(config, schemes, batchSize, threads) };
        }
        const underWay = await checkpoints.underWay(name);
        const first = underWay?.step ?? 0;
        reporter.start(`stage 1, block ${layer + 1} of ${numLayers}`, iterations - first);
        const task = {
          ...{ layer, name, weights, parameters: student.parameters, quantizedInput, floatInput, target },
          ...{ recipe, seed, checkpoints },
          onStep: (iteration: number, error: number) => {
            reporter.progress(iteration - first, `error ${error.toPrecision(3)}`);
          },
        };
        const { nearest, trained } = await reconstructBlock(blocks, step.session, task);
        const errorOf = async (tensors: ReadonlyMap<string, BilevelTensor>) =>
          meanSquaredError(
            await runBlock(blocks, withCodes(student.parameters, tensors), layer, quantizedInput),
            target,
          );
        const found = {
          block: `vision block ${layer}`,
          nearest: await errorOf(nearest),
          trained: await errorOf(trained),
        };
        // Too few iterations leave weights halfway between codes; then nearest is the better choice.
        const chosen = found.trained <= found.nearest ? trained : nearest;
        for (const [weight, tensor] of chosen) student.setBilevel(weight, tensor);
        errors.push(found);
        await checkpoints.finish(name, blockState(chosen, found));
        reporter.event('block', { layer, ...found });
        reporter.finish(
          `error ${found.nearest.toPrecision(3)} to nearest, ${found.trained.toPrecision(3)} trained`,
        );
      }
      quantizedInput = await runBlock(blocks, student.parameters, layer, quantizedInput);
      floatInput = target;
    }
    reporter.event('vision', { error: relativeError(quantizedInput, floatInput) });
  } finally {
    await step?.session.release();
    await blocks.release();
  }
  return errors;
}

function blockWeights(student: Student, layer: number): ReadonlyMap<string, RoundedWeight> {
  return new Map(
    student.bilevelNames('vision').flatMap((name): [string, RoundedWeight][] => {
      const spec = student.spec(name);
      if (spec.layer !== layer) return [];
      const scheme = student.bilevelScheme(name) as BilevelScheme;
      return [[name, { scheme, rows: spec.shape[0], columns: spec.shape[1] }]];
    }),
  );
}

/** Codes as they are packed, and the values they stand for, which --reference arithmetic does not keep in fp16. */
function blockState(tensors: ReadonlyMap<string, BilevelTensor>, errors: BlockErrors): State {
  const saved = new Map<string, Float32Array | Uint32Array>();
  for (const [name, tensor] of tensors) {
    const { codes, meta } = packBilevel(tensor, name);
    saved.set(`${name}.codes`, codes).set(`${name}.meta`, meta);
    saved.set(`${name}.values`, dequantizeBilevel(tensor.codes, tensor));
  }
  return { metadata: { errors: JSON.stringify(errors) }, tensors: saved };
}

function restoreBlock(
  student: Student,
  weights: ReadonlyMap<string, RoundedWeight>,
  { tensors }: State,
): void {
  for (const [name, { scheme, rows, columns }] of weights) {
    const codes = tensors.get(`${name}.codes`) as Uint32Array;
    const meta = tensors.get(`${name}.meta`) as Uint32Array;
    student.settle(
      name,
      { scheme, shape: [rows, columns], codes, meta },
      tensors.get(`${name}.values`) as Float32Array,
    );
  }
}

/** ‖a − b‖² / ‖b‖². */
function relativeError(a: Activations, b: Activations): number {
  let square = 0;
  for (const value of b.data) square += value * value;
  return (meanSquaredError(a, b) * b.data.length) / square;
}
