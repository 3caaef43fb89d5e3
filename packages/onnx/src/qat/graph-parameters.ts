import { elementCount, parameterInventory } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { SpeedqError } from '@speedq/format';
import { fakeQuantize } from '../fake-quantize.ts';
import { learnedQuantize } from '../learned-quantize.ts';
import type { Graph, Tensor } from '../graph.ts';
import type { ParameterValues } from '../parameters.ts';
import * as op from '../primitives.ts';
import type { Feed, Session } from '../session.ts';
import type { TrunkOptions } from './options.ts';

export type ParameterShapes = ReadonlyMap<string, readonly number[]>;

/** Names of the learned scales and zero points of a weight, [rows, columns/groupSize] each. */
export function learnedNames(weight: string): { readonly scale: string; readonly zero: string } {
  return { scale: `${weight}.scale`, zero: `${weight}.zero` };
}

/** Of the model's parameters, and of the learned ones of its quantizer. */
export function parameterShapes(
  config: InternVLConfig,
  { scheme, learned }: Pick<TrunkOptions, 'scheme' | 'learned'> = {},
): ParameterShapes {
  const inventory = parameterInventory(config);
  const shapes = new Map<string, readonly number[]>(inventory.map(({ name, shape }) => [name, shape]));
  if (learned !== true) return shapes;
  for (const { name, shape, role } of inventory) {
    const own = role === 'linear' ? scheme?.(name) : undefined;
    if (own === undefined) continue;
    for (const extra of Object.values(learnedNames(name))) {
      shapes.set(extra, [shape[0], shape[1] / own.groupSize]);
    }
  }
  return shapes;
}

/** The parameters a graph reads, as inputs; linear weights fake-quantized where a scheme is given. */
export class GraphParameters {
  private readonly declared = new Map<string, Tensor>();
  private readonly quantized = new Map<string, Tensor>();

  constructor(
    private readonly g: Graph,
    private readonly shapes: ParameterShapes,
    private readonly options: Pick<TrunkOptions, 'scheme' | 'learned' | 'reference' | 'storage'>,
    /** Put before the names of the inputs, to tell the teacher's from the student's. */
    private readonly prefix = '',
  ) {}

  readonly parameter = (name: string): Tensor => {
    const known = this.declared.get(name);
    if (known) return known;
    const shape = this.shapes.get(name);
    if (!shape)
      throw new SpeedqError('internal', `The model reads a parameter ${name} that its inventory lacks.`);
    const { storage = 'float32' } = this.options;
    const input = this.g.input(this.prefix + name, shape, storage);
    const tensor = storage === 'float32' ? input : op.cast(this.g, input, 'float32');
    this.declared.set(name, tensor);
    return tensor;
  };

  readonly linearWeight = (name: string): Tensor => {
    const scheme = this.options.scheme?.(name);
    if (!scheme) return this.parameter(name);
    const known = this.quantized.get(name);
    if (known) return known;
    const { learned, reference } = this.options;
    const { scale, zero } = learnedNames(name);
    const tensor = learned
      ? learnedQuantize(this.g, this.parameter(name), this.parameter(scale), this.parameter(zero), scheme)
      : fakeQuantize(this.g, this.parameter(name), scheme, { reference });
    this.quantized.set(name, tensor);
    return tensor;
  };

  /** Names of the parameters the graph has read so far. */
  get names(): string[] {
    return [...this.declared.keys()];
  }
}

/** Adds the parameters a session reads to its feeds. `rename` says which of the model's an input stands for. */
export function feedParameters(
  feeds: Map<string, Feed>,
  session: Session,
  shapes: ParameterShapes,
  parameters: ParameterValues,
  rename: (input: string) => string = (input) => input,
  prefix = '',
): void {
  for (const input of session.inputNames) {
    if (!input.startsWith(prefix)) continue;
    const name = rename(input.slice(prefix.length));
    const shape = shapes.get(name);
    if (!shape) continue;
    const data = parameters.get(name);
    if (!data)
      throw new SpeedqError('missing-tensor', `The model lacks the tensor ${name}; check its folder.`);
    const isArray = data instanceof Float32Array;
    const count = isArray ? data.length : elementCount(data.dims);
    if (count !== elementCount(shape)) {
      throw new SpeedqError(
        'shape-mismatch',
        `${name}: expected [${shape.join(', ')}] = ${elementCount(shape)} values, got ${count}.`,
      );
    }
    feeds.set(input, isArray ? session.float(data, shape) : data);
  }
}
