import { differentiate } from '../autodiff.ts';
import { Graph } from '../graph.ts';
import type { Tensor } from '../graph.ts';
import { Session } from '../session.ts';
import type { OrtModule, SessionOptions } from '../session.ts';
import { inputValues } from './gradient-case.ts';
import type { GradientCase } from './gradient-case.ts';
import { randomNormals } from './random.ts';

/** A case as a graph with outputs `y` and `d.<input>`, and the values it is fed. */
export function buildCase({ inputs, build }: GradientCase) {
  const g = new Graph();
  const tensors: Record<string, Tensor> = {};
  const values = new Map<string, { data: Float32Array | Int32Array; shape: readonly number[] }>();
  Object.entries(inputs).forEach(([name, input], i) => {
    tensors[name] = g.input(name, input[0]);
    values.set(name, { data: inputValues(input, 11 + i), shape: input[0] });
  });
  const y = build(g, tensors, (data, shape) => {
    const name = `fixed_${values.size}`;
    values.set(name, { data, shape });
    return g.input(name, shape, data instanceof Float32Array ? 'float32' : 'int32');
  });
  const shape = y.shape as number[];
  const dy = randomNormals(
    shape.reduce((product, dim) => product * dim, 1),
    77,
  );
  values.set('dy', { data: dy, shape });
  const names = Object.keys(inputs);
  const gradients = differentiate(
    g,
    [[y, g.input('dy', shape)]],
    names.map((name) => tensors[name]),
  );
  g.output('y', y);
  names.forEach((name, i) => {
    if (!gradients[i]) throw new Error(`No gradient reaches ${name}.`);
    g.output(`d.${name}`, gradients[i]);
  });
  return { g, y, dy, names, values };
}

/** Runs a built case through onnxruntime: every output by name. */
export async function runCase(
  ort: OrtModule,
  { g, values }: ReturnType<typeof buildCase>,
  options: SessionOptions,
): Promise<Map<string, Float32Array>> {
  const session = await Session.create(ort, g.build(), options);
  const feeds = new Map(
    [...values].map(([name, { data, shape }]) => [
      name,
      data instanceof Float32Array ? session.float(data, shape) : session.indices(data, shape),
    ]),
  );
  const results = await session.run(feeds);
  await session.release();
  return new Map([...results].map(([name, { data }]) => [name, data as Float32Array]));
}
