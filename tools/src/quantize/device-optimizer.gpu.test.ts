import { hasWebgpuProvider } from '@speedq/onnx';
import type { Feed, OrtModule } from '@speedq/onnx';
import * as onnxruntime from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { createRandom } from '../data/random.ts';
import { openDevice } from './device.ts';
import { Optimizer } from './optimizer.ts';

const ort: OrtModule = onnxruntime;
/** Where a GPU is required, its absence must fail, not skip. */
const required = process.env.REQUIRE_GPU === '1';

const SHAPES = {
  'language_model.model.layers.0.weight': [24, 16],
  'language_model.model.layers.0.bias': [24],
  'language_model.model.layers.1.weight': [24, 16],
  'language_model.model.layers.1.bias': [24],
  'norm.weight': [40],
  'seldom.weight': [3, 5],
};
const RATES: Readonly<Record<string, number>> = { 'norm.weight': 0.1 };
const SETTINGS = {
  ...{ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1 },
  ...{ learningRate: 1e-2, clipNorm: 2 },
};

function randomValues(size: number, seed: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: size }, () => random.next() - 0.5);
}

const parameters = Object.entries(SHAPES).map(([name, shape], i) => ({
  ...{ name, shape, rate: RATES[name] },
  data: randomValues(
    shape.reduce((a, b) => a * b, 1),
    i,
  ),
}));

/** One parameter has a gradient in every other update only. */
const gradientsAt = (step: number) =>
  new Map(
    parameters
      .filter(({ name }) => name !== 'seldom.weight' || step % 2 === 0)
      .map(({ name, data }, i) => [name, randomValues(data.length, 100 * step + i + 7)]),
  );

describe.skipIf(!required && !(await hasWebgpuProvider(ort)))('AdamW on WebGPU', () => {
  test('moves parameters as on the CPU, and goes on from a checkpoint of either', async () => {
    const device = await openDevice(ort, 'webgpu');
    const shapes = new Map<string, readonly number[]>(Object.entries(SHAPES));
    const upload = (gradients: ReadonlyMap<string, Float32Array>): Promise<Map<string, Feed>> =>
      device.memory.upload(
        new Map(
          [...gradients].map(([name, data]) => [name, new ort.Tensor('float32', data, shapes.get(name))]),
        ),
      );
    const expected = new Optimizer(parameters);
    const found = await device.openOptimizer(parameters);
    const update = async (gradients: ReadonlyMap<string, Float32Array>, target = found) => {
      const tensors = await upload(gradients);
      const norm = await target.update(tensors, SETTINGS);
      for (const tensor of tensors.values()) device.memory.free(tensor);
      return norm;
    };
    const same = (actual: ReadonlyMap<string, Float32Array>, wanted: ReadonlyMap<string, Float32Array>) => {
      expect([...actual.keys()]).toEqual([...wanted.keys()]);
      for (const [name, values] of wanted) {
        values.forEach((value, i) =>
          expect(Math.abs(actual.get(name)![i] - value), `${name}[${i}]`).toBeLessThan(2e-6),
        );
      }
    };

    for (let step = 0; step < 6; step++) {
      const norm = expected.update(gradientsAt(step), SETTINGS);
      expect(norm).toBeGreaterThan(SETTINGS.clipNorm);
      expect(await update(gradientsAt(step))).toBeCloseTo(norm, 4);
    }
    same(await found.values(), expected.views());
    same(await found.state(), expected.state());

    const resumed = await device.openOptimizer(parameters);
    await resumed.restore({ metadata: {}, tensors: expected.state() }, 6);
    expected.update(gradientsAt(6), SETTINGS);
    await update(gradientsAt(6), resumed);
    same(await resumed.values(), expected.views());

    const before = await resumed.state();
    expect(await update(new Map([['norm.weight', new Float32Array(40).fill(NaN)]]), resumed)).toBeNaN();
    expect(await resumed.state()).toEqual(before);
    expect(resumed.steps).toBe(7);
    await found.release();
    await resumed.release();
    await device.release();
  });
});
