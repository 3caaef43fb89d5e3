import ort from 'onnxruntime-node';
import { readdirSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { BILEVEL_2BIT_G16, BILEVEL_4BIT_G32, dequantizeSymmetric, quantizeSymmetric } from '@speedq/format';
import { EMBEDDING, HEAD } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import {
  TeacherForward,
  VisionForward,
  answerRows,
  attentionMask,
  createQatStep,
  meanTopProbability,
  placeFeatures,
} from '@speedq/onnx';
import type { LanguageInputs, Partition, QatResult } from '@speedq/onnx';
import { goldenPath } from './folder.ts';
import {
  internvlCases,
  largestDifference,
  openTensors,
  readModel,
  relativeError,
} from './internvl-folder.ts';

/**
 * One loss of the reference's stage 3 and its gradients. There, the vision encoder and the projector are
 * float, the language model's linears are fake-quantized, embedding and head are quantized once, symmetric
 * and frozen; the teacher is the float model; label smoothing is 0.1 and the losses are added.
 */
const LABEL_SMOOTHING = 0.1;
const SCHEMES = { '2': BILEVEL_2BIT_G16, '4': BILEVEL_4BIT_G32 };

const cases = internvlCases().flatMap(({ name, expected }) =>
  readdirSync(goldenPath('internvl', name)).flatMap((file) => {
    const bits = /^stage3_(\d)bit\.safetensors$/.exec(file)?.[1] as keyof typeof SCHEMES | undefined;
    return bits === undefined ? [] : [{ name, expected, file, scheme: SCHEMES[bits] }];
  }),
);

it('has stage-3 cases', () => expect(cases.length).toBeGreaterThan(0));

/** The names of the reference's modules in memory → canonical ones. */
const canonicalName = (name: string) =>
  name.replace(/^grad\.model\./, '').replace(/^language_model\./, 'language_model.model.');

describe.each(cases)('stage 3 $name/$file', ({ name, expected, file, scheme }) => {
  const golden = openTensors(name, file);
  const values = openTensors(expected, 'expected.safetensors');
  const ids = values.integers('input_ids');
  const [batch, length] = values.shape('input_ids');
  const tiles = values.shape('pixel_values')[0];
  const everyRow = BigInt64Array.from({ length: batch * length }, (_, i) => BigInt(i));
  const isLayer = (weight: string) => /^language_model\.model\.layers\./.test(weight);
  const schemeOf = (weight: string) => (isLayer(weight) ? scheme : undefined);
  const gradients = golden.names.filter((key) => key.startsWith('grad.'));

  let config: InternVLConfig;
  let teacher: ReadonlyMap<string, Float32Array>;
  let student: Map<string, Float32Array>;
  let inputs: LanguageInputs;
  beforeAll(async () => {
    ({ config, parameters: teacher } = await readModel(name));
    student = new Map(teacher);
    const { vocabSize, hiddenSize } = config.language;
    for (const table of [EMBEDDING, HEAD]) {
      const quantized = quantizeSymmetric(teacher.get(table)!, vocabSize, hiddenSize, { reference: true });
      student.set(table, dequantizeSymmetric(quantized));
    }
    const vision = await VisionForward.create(ort, config, { threads: 1 });
    const placed = placeFeatures(ids, config.imageTokenId, tiles * config.tokensPerTile);
    inputs = {
      inputIds: BigInt64Array.from(ids, BigInt),
      positions: Array.from(ids, (_, i) => i % length),
      mask: attentionMask(new Int32Array(ids.length), batch, length),
      visionFeatures: await vision.run(teacher, values.floats('pixel_values'), tiles),
      imageIndex: placed.index,
      imageMask: placed.mask,
    };
    await vision.release();
  });

  describe.each<Partition>(['whole', 'block'])('partition %s', (partition) => {
    const shape = { batch, length, tiles, partition, threads: 1 };

    it('gives the logits of teacher and student, and gamma', async () => {
      const float = await TeacherForward.create(ort, config, shape);
      const fromTeacher = await float.run(teacher, inputs, everyRow);
      expect(largestDifference(fromTeacher.logits!, golden.floats('teacher_logits'))).toBeLessThan(1e-4);
      // The reference averages over all positions.
      const gamma = meanTopProbability(fromTeacher.topProbability);
      expect(Math.abs(gamma - golden.floats('gamma')[0])).toBeLessThan(1e-6);
      const quantized = await TeacherForward.create(ort, config, {
        ...shape,
        scheme: schemeOf,
        reference: true,
        rowsPerChunk: 5,
      });
      const fromStudent = await quantized.run(student, inputs, everyRow);
      expect(largestDifference(fromStudent.logits!, golden.floats('student_logits'))).toBeLessThan(1e-4);
      await float.release();
      await quantized.release();
    });

    it.each(['logits', 'rows'] as const)('gives the losses and gradients, teacher by %s', async (by) => {
      const rows = answerRows(values.integers('labels'), { batch, length, reference: true });
      const float = await TeacherForward.create(ort, config, shape);
      const fromTeacher = await float.run(teacher, inputs, rows.selected, { logits: by === 'logits' });
      const step = await createQatStep(ort, config, {
        ...shape,
        answers: rows.selected.length,
        scheme: schemeOf,
        reference: true,
        trains: (parameter) =>
          !parameter.startsWith('vision_tower.') && ![EMBEDDING, HEAD].includes(parameter),
        loss: { ceWeight: 1, kdWeight: 1, labelSmoothing: LABEL_SMOOTHING, teacher: by },
        rowsPerChunk: 4,
      });
      const result: QatResult = await step.run(student, {
        ...inputs,
        ...rows,
        teacherLogits: fromTeacher.logits,
        teacherRows: fromTeacher.rows,
        teacherParameters: teacher,
        gamma: golden.floats('gamma')[0],
      });
      expect(Math.abs(result.losses.kd - golden.floats('kd_loss')[0])).toBeLessThan(1e-4);
      expect(Math.abs(result.losses.ce - golden.floats('ce_loss')[0])).toBeLessThan(1e-4);
      expect([...result.gradients.keys()].sort()).toEqual(gradients.map(canonicalName).sort());
      for (const key of gradients) {
        const actual = result.gradients.get(canonicalName(key))!;
        expect(relativeError(actual, golden.floats(key)), key).toBeLessThan(1e-3);
      }
      await float.release();
      await step.release();
    });
  });
});
