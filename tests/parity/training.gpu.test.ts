import * as onnxruntime from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { ADAMW_DEFAULTS, TeacherForward, createResidentStep, hasWebgpuProvider } from '@speedq/onnx';
import type { ExecutionProvider, OrtModule, Partition, QatLosses } from '@speedq/onnx';
import { openDevice } from '../../tools/src/quantize/device.ts';
import { elementCount, parameterInventory } from '@speedq/model';
import { STAGE3_LOSS, openStage3, stage3Cases } from '../golden/stage3-case.ts';
import { countCrossings } from './count-crossings.ts';

const ort: OrtModule = onnxruntime;
/** Where a GPU is required, its absence must fail, not skip. */
const required = process.env.REQUIRE_GPU === '1';
const STEPS = 20;
/** Of the recipes' stage 3, the largest. */
const LEARNING_RATE = 1e-4;

/**
 * Stage 3 of the micro model, all on onnxruntime's WebGPU provider: 20 updates give the losses of the CPU, and in a
 * step the device is given the batch and the coefficients of AdamW, and gives losses and a gradient norm.
 */
describe.skipIf(!required && !(await hasWebgpuProvider(ort)))('training on WebGPU', () => {
  let opened: Awaited<ReturnType<typeof openStage3>>;
  let expected: QatLosses[];

  async function train(provider: ExecutionProvider, partition: Partition) {
    const { config, shape, quantization, trains, rows, inputs, golden, student, teacher } = opened;
    const crossings = countCrossings(ort);
    const device = await openDevice(crossings.ort, provider);
    const { memory } = device;
    const options = { ...shape, partition, executionProvider: provider, memory, threads: 1 };
    const upload = async (values: ReadonlyMap<string, Float32Array>, wanted: (name: string) => boolean) => {
      const feeds = parameterInventory(config)
        .filter(({ name, part }) => part !== 'vision' && wanted(name))
        .map(({ name, shape: dims }) => [name, new ort.Tensor('float32', values.get(name)!, dims)] as const);
      return memory.upload(new Map(feeds));
    };
    const fixed = await upload(student, (name) => !trains(name));
    const teacherParameters = await upload(teacher, () => true);
    const optimizer = await device.openOptimizer(
      parameterInventory(config)
        .filter(({ name }) => trains(name))
        .map(({ name, shape: dims }) => ({ name, shape: dims, data: student.get(name)! })),
    );
    const forward = await TeacherForward.create(crossings.ort, config, options);
    const answers = rows.selected.length;
    const step = await createResidentStep(crossings.ort, config, {
      ...{ ...options, ...quantization, trains, answers },
      loss: { ...STAGE3_LOSS, teacher: { config } },
    });
    const teacherRows = await memory.zeros([answers, config.language.hiddenSize]);
    const gamma = golden.floats('gamma')[0];
    const losses: QatLosses[] = [];
    const counts = [];
    for (let i = 0; i < STEPS; i++) {
      crossings.reset();
      await forward.forward(teacherParameters, inputs, rows.selected, teacherRows);
      const parameters = new Map([...fixed, ...optimizer.parameters()]);
      losses.push(await step.run(parameters, { ...inputs, ...rows, gamma, teacherRows, teacherParameters }));
      const settings = { ...ADAMW_DEFAULTS, learningRate: LEARNING_RATE, clipNorm: 1 };
      expect(await optimizer.update(step.gradients, settings)).toBeGreaterThan(0);
      counts.push(crossings.counted());
    }
    const state = await optimizer.state();
    await step.release();
    await forward.release();
    await optimizer.release();
    for (const tensor of [...fixed.values(), ...teacherParameters.values(), teacherRows]) memory.free(tensor);
    await device.release();
    return { losses, counts, state };
  }

  beforeAll(async () => {
    opened = await openStage3(stage3Cases[0]);
    ({ losses: expected } = await train('cpu', 'whole'));
    // Something is learned, or equal losses would say little.
    expect(expected.at(-1)!.total).toBeLessThan(0.9 * expected[0].total);
  });

  it.each<Partition>(['whole', 'block'])(
    'gives the losses of the CPU over 20 updates, partition %s',
    async (partition) => {
      const { losses, counts, state } = await train('webgpu', partition);
      for (const [i, { ce, kd, total }] of losses.entries()) {
        expect(Math.abs(ce - expected[i].ce), `cross-entropy of step ${i}`).toBeLessThan(1e-3);
        expect(Math.abs(kd - expected[i].kd), `distillation of step ${i}`).toBeLessThan(1e-3);
        expect(Math.abs(total - expected[i].total), `loss of step ${i}`).toBeLessThan(1e-3);
      }
      const { config, shape, trains } = opened;
      const trained = parameterInventory(config)
        .filter(({ name }) => trains(name))
        .reduce((sum, one) => sum + elementCount(one.shape), 0);
      expect([...state].map(([name, values]) => [name, values.length])).toEqual(
        ['values', 'm', 'v'].map((name) => [name, trained]),
      );

      // After the first step, in which what is compiled once is made.
      const inputBytes = bytesOfInputs();
      for (const { up, down, largestUp } of counts.slice(1)) {
        // Both models are given the batch; the supervised rows come apart.
        expect(up).toBeLessThan(2 * inputBytes);
        expect(largestUp).toBeLessThanOrEqual(4 * shape.batch * shape.length ** 2 + largestFeature());
        // ce and kd of each chunk, and the squared norm.
        expect(down).toBe(4 * 3);
      }
      // That the bound means something: the weights alone are many times as much.
      expect(4 * trained).toBeGreaterThan(5 * inputBytes);
    },
  );

  function largestFeature(): number {
    return opened.inputs.visionFeatures!.byteLength;
  }

  function bytesOfInputs(): number {
    const { inputs, rows, shape, config } = opened;
    const tokens = shape.batch * shape.length;
    const rotary = 2 * 4 * tokens * (config.language.headDim / 2);
    const perToken = 4 * 3 * tokens;
    return (
      inputs.mask.byteLength +
      inputs.visionFeatures!.byteLength +
      rotary +
      perToken +
      4 * 6 * rows.selected.length +
      100
    );
  }
});
