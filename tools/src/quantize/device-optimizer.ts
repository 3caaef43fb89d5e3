import { elementCount } from '@speedq/model';
import { Graph, Session, adamwCoefficients, adamwNodes, primitives as op } from '@speedq/onnx';
import type { Feed, Memory, OrtModule, Tensor } from '@speedq/onnx';
import { clipScale } from './optimizer.ts';
import type { OptimizedParameter, UpdateSettings } from './optimizer.ts';
import { restore } from './state-file.ts';
import type { State } from './state-file.ts';

interface Slot {
  readonly shape: readonly number[];
  readonly decays: boolean;
  readonly rate: number;
  parameter: Feed;
  m: Feed;
  v: Feed;
}

/** Compiled for parameters of given shapes; layers of a model share it. */
interface Compiled {
  /** Gradients and the sum of squares before them → the sum with theirs. */
  readonly square: Session;
  readonly update: Session;
  /** What updated values are written into; then it changes places with what they replace. */
  readonly spare: readonly Pick<Slot, 'parameter' | 'm' | 'v'>[];
}

const KINDS = ['parameter', 'm', 'v'] as const;

/** `Optimizer` with parameters, moments and gradients in a device's memory; a norm comes from there in an update. */
export class DeviceOptimizer {
  private readonly slots = new Map<string, Slot>();
  private readonly compiled = new Map<string, Compiled>();
  /** Updates done. */
  steps = 0;

  private constructor(
    private readonly ort: OrtModule,
    private readonly memory: Memory,
    /** Sums of squares: zero, and two in turn. */
    private readonly sums: readonly [Feed, Feed, Feed],
  ) {}

  /** Copies the parameters there; one that is a tensor already is taken over. */
  static async create(
    ort: OrtModule,
    memory: Memory,
    parameters: readonly OptimizedParameter<Float32Array | Feed>[],
  ): Promise<DeviceOptimizer> {
    const sum = () => memory.zeros([1]);
    const optimizer = new DeviceOptimizer(ort, memory, [await sum(), await sum(), await sum()]);
    for (const { name, shape, data, rate = 1 } of parameters) {
      optimizer.slots.set(name, {
        ...{ shape, rate, decays: shape.length > 1 },
        parameter: data instanceof Float32Array ? await optimizer.upload(data, shape) : data,
        m: await memory.zeros(shape),
        v: await memory.zeros(shape),
      });
    }
    return optimizer;
  }

  /** The trained values by name, until the next update. */
  parameters(): Map<string, Feed> {
    return new Map([...this.slots].map(([name, { parameter }]) => [name, parameter]));
  }

  async values(): Promise<Map<string, Float32Array>> {
    const values = new Map<string, Float32Array>();
    for (const [name, { parameter }] of this.slots) values.set(name, await this.memory.download(parameter));
    return values;
  }

  /** Norm of the gradient before clipping. Nothing is updated where it is not finite. */
  async update(gradients: ReadonlyMap<string, Feed>, settings: UpdateSettings): Promise<number> {
    const { memory, sums } = this;
    const groups = groupByLayer([...gradients.keys()]);
    let [sum, next] = [sums[0], sums[1]];
    for (const names of groups) {
      const { square } = await this.compile(names);
      const feeds = new Map(names.map((name, i) => [`gradient.${i}`, gradients.get(name)!]));
      await square.run(feeds.set('before', sum), new Map([['after', next]]));
      [sum, next] = [next, next === sums[1] ? sums[2] : sums[1]];
    }
    const norm = Math.sqrt((await memory.download(sum))[0]);
    if (!Number.isFinite(norm)) return norm;
    const step = ++this.steps;
    const values = adamwCoefficients({ ...settings, step, scale: clipScale(norm, settings.clipNorm) });
    const coefficients = await this.upload(values, [values.length]);
    for (const names of groups) {
      const { update, spare } = await this.compile(names);
      const feeds = new Map([['coefficients', coefficients]]);
      const outputs = new Map<string, Feed>();
      names.forEach((name, i) => {
        feeds.set(`gradient.${i}`, gradients.get(name)!);
        for (const kind of KINDS) {
          feeds.set(`${kind}.${i}`, this.slots.get(name)![kind]);
          outputs.set(`new.${kind}.${i}`, spare[i][kind]);
        }
      });
      await update.run(feeds, outputs);
      names.forEach((name, i) => {
        const slot = this.slots.get(name)!;
        for (const kind of KINDS) [slot[kind], spare[i][kind]] = [spare[i][kind], slot[kind]];
      });
    }
    memory.free(coefficients);
    return norm;
  }

  /** As `Optimizer.state`. */
  async state(): Promise<Map<string, Float32Array>> {
    const total = this.elementCount();
    const state = new Map<string, Float32Array>();
    for (const kind of KINDS) {
      const flat = new Float32Array(total);
      let begin = 0;
      for (const slot of this.slots.values()) {
        flat.set(await this.memory.download(slot[kind]), begin);
        begin += elementCount(slot.shape);
      }
      state.set(STORED[kind], flat);
    }
    return state;
  }

  /** Of all parameters. */
  private elementCount(): number {
    return [...this.slots.values()].reduce((size, { shape }) => size + elementCount(shape), 0);
  }

  async restore(state: State, steps: number): Promise<void> {
    const total = this.elementCount();
    for (const kind of KINDS) {
      let begin = 0;
      const flat = new Float32Array(total);
      restore(state, STORED[kind], flat);
      for (const slot of this.slots.values()) {
        const end = begin + elementCount(slot.shape);
        this.memory.free(slot[kind]);
        slot[kind] = await this.upload(flat.subarray(begin, end), slot.shape);
        begin = end;
      }
    }
    this.steps = steps;
  }

  async release(): Promise<void> {
    for (const { square, update, spare } of this.compiled.values()) {
      await square.release();
      await update.release();
      for (const tensors of spare) for (const kind of KINDS) this.memory.free(tensors[kind]);
    }
    for (const slot of this.slots.values()) for (const kind of KINDS) this.memory.free(slot[kind]);
    for (const tensor of this.sums) this.memory.free(tensor);
  }

  private async upload(data: Float32Array, shape: readonly number[]): Promise<Feed> {
    const feed = new this.ort.Tensor('float32', data, shape);
    return (await this.memory.upload(new Map([['x', feed]]))).get('x')!;
  }

  private async compile(names: readonly string[]): Promise<Compiled> {
    const slots = names.map((name) => this.slots.get(name)!);
    const key = JSON.stringify(slots.map(({ shape, decays, rate }) => [shape, decays, rate]));
    const known = this.compiled.get(key);
    if (known) return known;
    const options = { executionProvider: 'webgpu' } as const;
    const spare = [];
    for (const { shape } of slots) {
      const { memory } = this;
      spare.push({
        parameter: await memory.zeros(shape),
        m: await memory.zeros(shape),
        v: await memory.zeros(shape),
      });
    }
    const compiled = {
      square: await Session.create(this.ort, squareGraph(slots), options),
      update: await Session.create(this.ort, updateGraph(slots), options),
      spare,
    };
    this.compiled.set(key, compiled);
    return compiled;
  }
}

/** Names of the checkpoint's tensors. */
const STORED = { parameter: 'values', m: 'm', v: 'v' } as const;

function squareGraph(slots: readonly Pick<Slot, 'shape'>[]): Uint8Array {
  const g = new Graph();
  let sum: Tensor = g.input('before', [1]);
  slots.forEach(({ shape }, i) => {
    const gradient = g.input(`gradient.${i}`, shape);
    // The last axis alone first: many sums at once, where one over everything would be one thread group's work.
    const rows = op.reduceSum(g, op.mul(g, gradient, gradient), [-1]);
    const all = op.reduceSum(
      g,
      rows,
      shape.map((_, axis) => axis),
    );
    sum = op.add(g, sum, op.reshape(g, all, [1]));
  });
  g.output('after', sum);
  return g.build();
}

function updateGraph(slots: readonly Pick<Slot, 'shape' | 'decays' | 'rate'>[]): Uint8Array {
  const g = new Graph();
  const coefficients = g.input('coefficients', [9]);
  slots.forEach(({ shape, decays, rate }, i) => {
    const input = (kind: string) => g.input(`${kind}.${i}`, shape);
    const state = {
      parameter: input('parameter'),
      gradient: input('gradient'),
      m: input('m'),
      v: input('v'),
    };
    const updated = adamwNodes(g, state, coefficients, { decays, rate });
    for (const kind of KINDS) g.output(`new.${kind}.${i}`, updated[kind]);
  });
  return g.build();
}

/** A decoder layer's parameters together: one run each, and one graph for all layers. */
function groupByLayer(names: readonly string[]): string[][] {
  const groups = new Map<string, string[]>();
  for (const name of names) {
    const key = /^.*?\.layers\.\d+\./.exec(name)?.[0] ?? '';
    groups.set(key, [...(groups.get(key) ?? []), name]);
  }
  return [...groups.values()];
}
