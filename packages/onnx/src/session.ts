import type * as Ort from 'onnxruntime-common';
import { SpeedqError } from '@speedq/format';

/** The part of onnxruntime this package uses; pass `onnxruntime-node` or `onnxruntime-web`. */
export type OrtModule = Pick<typeof Ort, 'InferenceSession' | 'Tensor'>;
export type Feed = Ort.Tensor;

export type ExecutionProvider = 'cpu' | 'webgpu' | 'cuda';

export interface SessionOptions {
  /** Threads inside one operator. */
  readonly threads?: number;
  readonly executionProvider?: ExecutionProvider;
  /** Where outputs that no tensor is given for are left; 'device' on WebGPU alone. */
  readonly outputs?: 'host' | 'device';
  /** Failures are only thrown, not written to standard error too. */
  readonly quiet?: boolean;
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
    const { threads, executionProvider = 'cpu', optimize = true, outputs = 'host', quiet } = options;
    const session = await ort.InferenceSession.create(model, {
      executionProviders: [executionProvider],
      ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
      ...(outputs === 'device' ? { preferredOutputLocation: 'gpu-buffer' } : {}),
      graphOptimizationLevel: optimize ? 'all' : 'disabled',
      // Without it a WebGPU session runs unsupported operators on the CPU and says nothing.
      extra: {
        session: {
          ...(executionProvider === 'webgpu' ? { disable_cpu_ep_fallback: '1' } : {}),
          // Idle threads must not spin: sessions of several workers share the machine's cores.
          intra_op: { allow_spinning: threads === 1 ? '0' : '1' },
        },
      },
      logSeverityLevel: quiet ? 4 : 3,
    });
    return new Session(ort, session);
  }

  get inputNames(): readonly string[] {
    return this.session.inputNames;
  }

  float(data: Float32Array, dims: readonly number[]): Feed {
    return new this.ort.Tensor('float32', data, dims);
  }

  double(data: Float64Array, dims: readonly number[]): Feed {
    return new this.ort.Tensor('float64', data, dims);
  }

  /** Indices as int32, for graphs that may run on WebGPU: its provider compares and reshapes no int64. */
  indices(data: ArrayLike<bigint | number>, dims: readonly number[]): Feed {
    return new this.ort.Tensor('int32', Int32Array.from(data, Number), dims);
  }

  int(data: BigInt64Array, dims: readonly number[]): Feed {
    return new this.ort.Tensor('int64', data, dims);
  }

  /**
   * Runs with only the feeds this graph reads; a missing one is an error. `outputs`: names of those wanted,
   * or a map in which a tensor is what the output is written into (undefined: a new array).
   */
  async run(
    feeds: ReadonlyMap<string, Feed>,
    outputs?: readonly string[] | ReadonlyMap<string, Feed | undefined>,
  ): Promise<Map<string, Feed>> {
    const selected: Record<string, Feed> = {};
    for (const name of this.session.inputNames) {
      const feed = feeds.get(name);
      if (!feed)
        throw new SpeedqError('internal', `ONNX session needs the input ${name}, which was not fed.`);
      selected[name] = feed;
    }
    const results = await this.session.run(selected, fetches(outputs ?? this.session.outputNames));
    return new Map(Object.entries(results));
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}

function fetches(
  outputs: readonly string[] | ReadonlyMap<string, Feed | undefined>,
): Record<string, Feed | null> {
  const wanted: Record<string, Feed | null> = {};
  if (outputs instanceof Map) for (const [name, tensor] of outputs) wanted[name] = tensor ?? null;
  else for (const name of outputs as readonly string[]) wanted[name] = null;
  return wanted;
}
