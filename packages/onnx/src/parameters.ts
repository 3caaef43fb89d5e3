import { SpeedqError } from '@speedq/format';
import { parameterInventory, type InternVLConfig } from '@speedq/model';
import type { Graph, Tensor } from './graph.ts';
import type { Feed, Session } from './session.ts';

/** Float parameters by canonical name: a map, or what reads them when they are asked for. */
export interface Parameters {
  get(name: string): Float32Array | undefined;
}

/** The same, or tensors of a `Memory`. */
export interface ParameterValues {
  get(name: string): Float32Array | Feed | undefined;
}

/** Declares parameters as graph inputs, so that one graph serves any weights and nothing is copied. */
export function parameterInputs(g: Graph, config: InternVLConfig): (name: string) => Tensor {
  const shapes = new Map(parameterInventory(config).map(({ name, shape }) => [name, shape]));
  const declared = new Map<string, Tensor>();
  return (name) => {
    const known = declared.get(name);
    if (known) return known;
    const shape = shapes.get(name);
    if (!shape)
      throw new SpeedqError('internal', `The model reads a parameter ${name} that its inventory lacks.`);
    const tensor = g.input(name, shape);
    declared.set(name, tensor);
    return tensor;
  };
}

/** Every parameter of the inventory as a feed; the data is not copied. */
export function parameterFeeds(
  session: Session,
  config: InternVLConfig,
  parameters: Parameters,
): Map<string, Feed> {
  return new Map(
    parameterInventory(config).map(({ name, shape }) => {
      const data = parameters.get(name);
      if (!data)
        throw new SpeedqError('missing-tensor', `The model lacks the tensor ${name}; check its folder.`);
      return [name, session.float(data, shape)];
    }),
  );
}
