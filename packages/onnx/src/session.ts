import type * as Ort from 'onnxruntime-common';
import { SpeedqError } from '@speedq/format';

/** The part of onnxruntime this package uses; pass `onnxruntime-node` or `onnxruntime-web`. */
export type OrtModule = Pick<typeof Ort, 'InferenceSession' | 'Tensor'>;
export type Feed = Ort.Tensor;

export interface SessionOptions {
  /** Threads inside one operator. */
  readonly threads?: number;
  readonly executionProvider?: 'cpu' | 'webgpu';
  /** Off makes creation of very large graphs several times faster. */
  readonly optimize?: boolean;
}

/** A compiled graph. Feeds are read in place; every result is a new array. */
export class Session {
  private constructor(
    private readonly ort: OrtModule,
    private readonly session: Ort.InferenceSession,
  ) {}

  static async create(ort: OrtModule, model: Uint8Array, options: SessionOptions = {}): Promise<Session> {
    const { threads, executionProvider = 'cpu', optimize = true } = options;
    const session = await ort.InferenceSession.create(model, {
      executionProviders: [executionProvider],
      ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
      graphOptimizationLevel: optimize ? 'all' : 'disabled',
      // Without it a WebGPU session runs unsupported operators on the CPU and says nothing.
      extra: {
        session: {
          ...(executionProvider === 'cpu' ? {} : { disable_cpu_ep_fallback: '1' }),
          // Idle threads must not spin: sessions of several workers share the machine's cores.
          intra_op: { allow_spinning: threads === 1 ? '0' : '1' },
        },
      },
      logSeverityLevel: 3,
    });
    return new Session(ort, session);
  }

  get inputNames(): readonly string[] {
    return this.session.inputNames;
  }

  float(data: Float32Array, dims: readonly number[]): Feed {
    return new this.ort.Tensor('float32', data, dims);
  }

  int(data: BigInt64Array, dims: readonly number[]): Feed {
    return new this.ort.Tensor('int64', data, dims);
  }

  /** Runs with only the feeds this graph reads; a missing one is an error. */
  async run(feeds: ReadonlyMap<string, Feed>, outputs?: readonly string[]): Promise<Map<string, Feed>> {
    const selected = this.select(feeds);
    const results = outputs
      ? await this.session.run(selected, outputs as string[])
      : await this.session.run(selected);
    return new Map(Object.entries(results) as [string, Feed][]);
  }

  /**
   * Like `run`, writing the results named in `into` to its arrays instead of new ones;
   * the others named are returned.
   */
  async runInto(
    feeds: ReadonlyMap<string, Feed>,
    into: ReadonlyMap<string, Feed>,
    others: readonly string[],
  ): Promise<Map<string, Feed>> {
    const fetches: Record<string, Feed | null> = Object.fromEntries(into);
    for (const name of others) fetches[name] = null;
    const results = await this.session.run(this.select(feeds), fetches);
    return new Map(others.map((name) => [name, results[name] as Feed]));
  }

  async release(): Promise<void> {
    await this.session.release();
  }

  private select(feeds: ReadonlyMap<string, Feed>): Record<string, Feed> {
    const selected: Record<string, Feed> = {};
    for (const name of this.session.inputNames) {
      const feed = feeds.get(name);
      if (!feed) throw new SpeedqError('internal', `ONNX session needs the input ${name}, which was not fed.`);
      selected[name] = feed;
    }
    return selected;
  }
}
