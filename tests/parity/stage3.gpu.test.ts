import ort from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { TeacherForward, createQatStep, hasWebgpuProvider } from '@speedq/onnx';
import type { Partition, QatResult, SessionOptions } from '@speedq/onnx';
import { relativeError } from '../golden/internvl-folder.ts';
import { STAGE3_LOSS, openStage3, stage3Cases } from '../golden/stage3-case.ts';

/** Where a GPU is required, its absence must fail, not skip. */
const required = process.env.REQUIRE_GPU === '1';

/** The stage-3 step on onnxruntime's WebGPU provider, CPU fallback disabled, equals the step on the CPU. */
describe.skipIf(!required && !(await hasWebgpuProvider(ort)))('stage 3 on WebGPU', () => {
  let opened: Awaited<ReturnType<typeof openStage3>>;
  let expected: QatResult;

  async function runStep(
    partition: Partition,
    engine: Pick<SessionOptions, 'executionProvider' | 'threads'>,
  ) {
    const { config, shape, quantization, trains, rows, inputs, golden } = opened;
    const float = await TeacherForward.create(ort, config, { ...shape, partition, ...engine });
    const teacher = await float.run(opened.teacher, inputs, rows.selected);
    await float.release();
    const step = await createQatStep(ort, config, {
      ...shape,
      ...quantization,
      ...engine,
      partition,
      trains,
      answers: rows.selected.length,
      loss: STAGE3_LOSS,
    });
    const gamma = golden.floats('gamma')[0];
    const result = await step.run(opened.student, {
      ...inputs,
      ...rows,
      teacherLogits: teacher.logits,
      gamma,
    });
    await step.release();
    return result;
  }

  beforeAll(async () => {
    opened = await openStage3(stage3Cases[0]);
    expected = await runStep('whole', { threads: 1 });
  });

  it.each<Partition>(['whole', 'block'])(
    'gives the same losses and gradients, partition %s',
    async (partition) => {
      const actual = await runStep(partition, { executionProvider: 'webgpu' });
      expect(Math.abs(actual.losses.total - expected.losses.total)).toBeLessThan(1e-4);
      expect([...actual.gradients.keys()].sort()).toEqual([...expected.gradients.keys()].sort());
      for (const [name, gradient] of expected.gradients) {
        expect(relativeError(actual.gradients.get(name)!, gradient), name).toBeLessThan(1e-4);
      }
    },
  );
});
