import ort from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { TeacherForward, createQatStep, meanTopProbability } from '@speedq/onnx';
import type { Partition } from '@speedq/onnx';
import { largestDifference, relativeError } from './internvl-folder.ts';
import { STAGE3_LOSS, openStage3, stage3Cases } from './stage3-case.ts';

it('has stage-3 cases', () => expect(stage3Cases.length).toBeGreaterThan(0));

/** The names of the reference's modules in memory → canonical ones. */
const canonicalName = (name: string) =>
  name.replace(/^grad\.model\./, '').replace(/^language_model\./, 'language_model.model.');

/** One loss of the reference's stage 3 and its gradients. */
describe.each(stage3Cases)('stage 3 $name/$file', (stage3) => {
  let opened: Awaited<ReturnType<typeof openStage3>>;
  beforeAll(async () => {
    opened = await openStage3(stage3);
  });

  describe.each<Partition>(['whole', 'block'])('partition %s', (partition) => {
    const engine = { partition, threads: 1 };

    it('gives the logits of teacher and student, and gamma', async () => {
      const { golden, config, inputs, shape, quantization } = opened;
      const everyRow = BigInt64Array.from({ length: shape.batch * shape.length }, (_, i) => BigInt(i));
      const float = await TeacherForward.create(ort, config, { ...shape, ...engine });
      const teacher = await float.run(opened.teacher, inputs, everyRow);
      expect(largestDifference(teacher.logits!, golden.floats('teacher_logits'))).toBeLessThan(1e-4);
      // The reference averages over all positions.
      const gamma = meanTopProbability(teacher.topProbability);
      expect(Math.abs(gamma - golden.floats('gamma')[0])).toBeLessThan(1e-6);
      const options = { ...shape, ...engine, ...quantization, rowsPerChunk: 5 };
      const quantized = await TeacherForward.create(ort, config, options);
      const student = await quantized.run(opened.student, inputs, everyRow);
      expect(largestDifference(student.logits!, golden.floats('student_logits'))).toBeLessThan(1e-4);
      await float.release();
      await quantized.release();
    });

    it.each(['logits', 'rows'] as const)('gives the losses and gradients, teacher by %s', async (by) => {
      const { golden, config, inputs, rows, shape, quantization, trains } = opened;
      const float = await TeacherForward.create(ort, config, { ...shape, ...engine });
      const teacher = await float.run(opened.teacher, inputs, rows.selected, { logits: by === 'logits' });
      const step = await createQatStep(ort, config, {
        ...shape,
        ...engine,
        ...quantization,
        trains,
        answers: rows.selected.length,
        loss: { ...STAGE3_LOSS, teacher: by === 'rows' ? { config } : undefined },
        rowsPerChunk: 4,
      });
      const { losses, gradients } = await step.run(opened.student, {
        ...inputs,
        ...rows,
        teacherLogits: teacher.logits,
        teacherRows: teacher.rows,
        teacherParameters: opened.teacher,
        gamma: golden.floats('gamma')[0],
      });
      expect(Math.abs(losses.kd - golden.floats('kd_loss')[0])).toBeLessThan(1e-4);
      expect(Math.abs(losses.ce - golden.floats('ce_loss')[0])).toBeLessThan(1e-4);
      const keys = golden.names.filter((key) => key.startsWith('grad.'));
      expect([...gradients.keys()].sort()).toEqual(keys.map(canonicalName).sort());
      for (const key of keys) {
        const actual = gradients.get(canonicalName(key))!;
        expect(relativeError(actual, golden.floats(key)), key).toBeLessThan(1e-3);
      }
      await float.release();
      await step.release();
    });
  });
});
