import { floatToHalf } from '@speedq/format';
import { elementCount } from '@speedq/model';
import { Graph } from './graph.ts';
import type { ElementType } from './graph.ts';
import * as op from './primitives.ts';
import { Session } from './session.ts';
import type { Feed, OrtModule } from './session.ts';

/** How numbers are kept; what is computed with them is float32 either way. */
export type FloatStorage = 'float32' | 'float16';

/**
 * Where parameters, activations and gradients live between runs: tensors that graphs read and write in place,
 * so that nothing is copied from one session to the next.
 */
export interface Memory {
  /** A tensor of zeros that runs may write into. */
  zeros(shape: readonly number[]): Promise<Feed>;
  /** A copy there of what is on the host, by name; floats as `storage` says. */
  upload(feeds: ReadonlyMap<string, Feed>, storage?: FloatStorage): Promise<Map<string, Feed>>;
  /** The values of a float32 tensor. */
  download(tensor: Feed): Promise<Float32Array>;
  /** A tensor of its own, `sum` + `addend`; `sum`, which this made too, is used up. Without it, a copy. */
  accumulate(sum: Feed | undefined, addend: Feed): Promise<Feed>;
  /** Ends the use of a tensor that came from here. */
  free(tensor: Feed): void;
  /** After all tensors were freed. */
  release(): Promise<void>;
}

/** JavaScript's own arrays: nothing is copied but what changes its storage. */
export function hostMemory(ort: OrtModule): Memory {
  const stored = (feed: Feed, storage: FloatStorage): Feed => {
    if (storage === 'float32' || feed.type !== 'float32') return feed;
    return new ort.Tensor('float16', Uint16Array.from(feed.data as Float32Array, floatToHalf), feed.dims);
  };
  return {
    zeros: (shape) =>
      Promise.resolve(new ort.Tensor('float32', new Float32Array(elementCount(shape)), shape)),
    upload: (feeds, storage = 'float32') =>
      Promise.resolve(new Map([...feeds].map(([name, feed]) => [name, stored(feed, storage)]))),
    download: (tensor) => Promise.resolve(tensor.data as Float32Array),
    accumulate: (sum, addend) => {
      const values = addend.data as Float32Array;
      if (!sum) return Promise.resolve(new ort.Tensor('float32', values.slice(), addend.dims));
      const total = sum.data as Float32Array;
      for (let i = 0; i < total.length; i++) total[i] += values[i];
      return Promise.resolve(sum);
    },
    free: () => undefined,
    release: () => Promise.resolve(),
  };
}

/**
 * The memory of onnxruntime's WebGPU device. A session makes its tensors (an output located there); sessions that
 * use them are created without locations and are given them as outputs to write into.
 */
export class DeviceMemory implements Memory {
  /** A tensor must not outlive the session that made it: they are kept until the end. */
  private readonly sessions = new Map<string, Promise<Session>>();

  constructor(private readonly ort: OrtModule) {}

  async zeros(shape: readonly number[]): Promise<Feed> {
    const session = await this.session(`zeros ${shape.join()}`, (g) => {
      g.output(
        'y',
        op.expand(
          g,
          g.input(
            'x',
            shape.map(() => 1),
          ),
          shape,
        ),
      );
    });
    const x = session.float(
      new Float32Array(1),
      shape.map(() => 1),
    );
    return (await session.run(new Map([['x', x]]))).get('y')!;
  }

  async upload(
    feeds: ReadonlyMap<string, Feed>,
    storage: FloatStorage = 'float32',
  ): Promise<Map<string, Feed>> {
    const uploaded = new Map<string, Feed>();
    for (const [name, feed] of feeds) uploaded.set(name, await this.uploadOne(feed, storage));
    return uploaded;
  }

  async download(tensor: Feed): Promise<Float32Array> {
    const { type, dims } = tensor;
    const session = await this.session(
      `download ${type} ${dims.length}`,
      (g) => g.output('y', op.cast(g, g.input('x', symbolic(dims), type as ElementType), 'float32')),
      'host',
    );
    return (await session.run(new Map([['x', tensor]]))).get('y')!.data as Float32Array;
  }

  async accumulate(sum: Feed | undefined, addend: Feed): Promise<Feed> {
    const { dims } = addend;
    const session = await this.session(`${sum ? 'add' : 'copy'} ${dims.length}`, (g) => {
      const x = g.input('x', symbolic(dims));
      g.output('y', sum ? op.add(g, x, g.input('sum', symbolic(dims))) : x);
    });
    const feeds = new Map([['x', addend]]);
    if (sum) feeds.set('sum', sum);
    const total = (await session.run(feeds)).get('y')!;
    if (sum) this.free(sum);
    return total;
  }

  free(tensor: Feed): void {
    tensor.dispose();
  }

  async release(): Promise<void> {
    for (const session of this.sessions.values()) await (await session).release();
    this.sessions.clear();
  }

  private async uploadOne(feed: Feed, storage: FloatStorage): Promise<Feed> {
    if (feed.location === 'gpu-buffer') return feed;
    const { type, dims } = feed;
    const stored = type === 'float32' ? storage : type;
    const session = await this.session(`upload ${type} ${stored} ${dims.length}`, (g) => {
      const x = g.input('x', symbolic(dims), type as ElementType);
      g.output('y', stored === type ? x : op.cast(g, x, stored as ElementType));
    });
    return (await session.run(new Map([['x', feed]]))).get('y')!;
  }

  private session(
    key: string,
    build: (g: Graph) => void,
    outputs: 'host' | 'device' = 'device',
  ): Promise<Session> {
    const known = this.sessions.get(key);
    if (known) return known;
    const g = new Graph();
    build(g);
    const session = Session.create(this.ort, g.build(), { executionProvider: 'webgpu', outputs });
    this.sessions.set(key, session);
    return session;
  }
}

/** One graph for all lengths. */
const symbolic = (dims: readonly number[]) => dims.map((_, i) => `d${i}`);
