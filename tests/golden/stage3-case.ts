import ort from 'onnxruntime-node';
import { readdirSync } from 'node:fs';
import {
  BILEVEL_2BIT_G16,
  BILEVEL_4BIT_G32,
  SYMMETRIC_4BIT,
  dequantizeSymmetric,
  quantizeSymmetric,
} from '@speedq/format';
import { EMBEDDING, HEAD } from '@speedq/model';
import { VisionForward, answerRows, attentionMask, placeFeatures } from '@speedq/onnx';
import type { LanguageInputs, QatLoss } from '@speedq/onnx';
import { goldenPath } from './folder.ts';
import { internvlCases, openTensors, readModel } from './internvl-folder.ts';

const SCHEMES = { '2': BILEVEL_2BIT_G16, '4': BILEVEL_4BIT_G32 };

/** Every recorded loss of the reference's stage 3: its model's folder, file, and scheme. */
export const stage3Cases = internvlCases().flatMap(({ name, expected }) =>
  readdirSync(goldenPath('internvl', name)).flatMap((file) => {
    const bits = /^stage3_(\d)bit\.safetensors$/.exec(file)?.[1] as keyof typeof SCHEMES | undefined;
    return bits === undefined ? [] : [{ name, expected, file, scheme: SCHEMES[bits] }];
  }),
);

/** The reference's loss: label smoothing 0.1, cross-entropy and distillation added. */
export const STAGE3_LOSS: QatLoss = { ceWeight: 1, kdWeight: 1, labelSmoothing: 0.1 };

/**
 * A case ready to run. In the reference's stage 3 the vision encoder and the projector are float, the language
 * model's linears are fake-quantized, embedding and head are quantized once, symmetric, and frozen; the
 * teacher is the float model.
 */
export async function openStage3({ name, expected, file, scheme }: (typeof stage3Cases)[number]) {
  const golden = openTensors(name, file);
  const values = openTensors(expected, 'expected.safetensors');
  const ids = values.integers('input_ids');
  const [batch, length] = values.shape('input_ids');
  const tiles = values.shape('pixel_values')[0];
  const { config, parameters: teacher } = await readModel(name);
  const student = new Map(teacher);
  const { vocabSize, hiddenSize } = config.language;
  for (const table of [EMBEDDING, HEAD]) {
    const quantized = quantizeSymmetric(teacher.get(table)!, vocabSize, hiddenSize, SYMMETRIC_4BIT, {
      reference: true,
    });
    student.set(table, dequantizeSymmetric(quantized));
  }
  const vision = await VisionForward.create(ort, config, { threads: 1 });
  const placed = placeFeatures(ids, config.imageTokenId, tiles * config.tokensPerTile);
  const inputs: LanguageInputs = {
    inputIds: BigInt64Array.from(ids, BigInt),
    positions: Array.from(ids, (_, i) => i % length),
    mask: attentionMask(new Int32Array(ids.length), batch, length),
    visionFeatures: await vision.run(teacher, values.floats('pixel_values'), tiles),
    imageIndex: placed.index,
    imageMask: placed.mask,
  };
  await vision.release();
  return {
    golden,
    config,
    teacher,
    student,
    inputs,
    rows: answerRows(values.integers('labels'), { batch, length, reference: true }),
    shape: { batch, length, tiles },
    quantization: {
      scheme: (weight: string) => (/^language_model\.model\.layers\./.test(weight) ? scheme : undefined),
      reference: true,
    },
    trains: (parameter: string) =>
      !parameter.startsWith('vision_tower.') && ![EMBEDDING, HEAD].includes(parameter),
  };
}
