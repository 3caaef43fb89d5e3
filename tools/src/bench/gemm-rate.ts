import { Graph, Session, hostMemory, primitives as op } from '@speedq/onnx';
import type { ExecutionProvider, Feed, Memory, OrtModule, Tensor } from '@speedq/onnx';

/** A linear as training runs it: rows of inputs times weight [out, inputs]. */
export interface LinearWork {
  readonly rows: number;
  readonly inputs: number;
  readonly out: number;
  /** How many such linears there are. */
  readonly count: number;
  /** Products done: the output, the gradient of the input, the gradient of the weight. */
  readonly products: readonly ('y' | 'dx' | 'dw')[];
}

export interface GemmOptions {
  readonly threads?: number;
  readonly executionProvider?: ExecutionProvider;
  /** Where operands and results live; by default in arrays. */
  readonly memory?: Memory;
}

/** Floating-point operations of the matrix products, 2·m·n·k each. */
export function workOperations(work: readonly LinearWork[]): number {
  return work.reduce(
    (sum, { rows, inputs, out, count, products }) => sum + 2 * rows * inputs * out * count * products.length,
    0,
  );
}

/** Exactly the matrix products of some work and nothing else, as onnxruntime's Gemm does them. */
export class GemmRun {
  private constructor(
    private readonly runs: readonly { readonly run: () => Promise<unknown>; readonly count: number }[],
    private readonly sessions: readonly Session[],
    private readonly memory: Memory,
    private readonly tensors: readonly Feed[],
    private readonly mark: Feed,
  ) {}

  static async create(
    ort: OrtModule,
    work: readonly LinearWork[],
    { memory = hostMemory(ort), ...options }: GemmOptions,
  ): Promise<GemmRun> {
    const sessions: Session[] = [];
    const tensors: Feed[] = [];
    const runs = [];
    for (const { rows, inputs, out, count, products } of work) {
      const g = new Graph();
      const x = g.input('x', [rows, inputs]);
      const w = g.input('w', [out, inputs]);
      const dy = g.input('dy', [rows, out]);
      const result: Record<string, () => Tensor> = {
        y: () => op.gemm(g, x, w, { transB: true }),
        dx: () => op.gemm(g, dy, w),
        dw: () => op.gemm(g, dy, x, { transA: true }),
      };
      for (const name of products) g.output(name, result[name]());
      const session = await Session.create(ort, g.build(), options);
      sessions.push(session);
      const shapes: Record<string, [number, number]> = {
        x: [rows, inputs],
        w: [out, inputs],
        dy: [rows, out],
        y: [rows, out],
        dx: [rows, inputs],
        dw: [out, inputs],
      };
      const operands = new Map<string, Feed>();
      for (const name of session.inputNames)
        operands.set(name, session.float(pattern(shapes[name]), shapes[name]));
      const feeds = await memory.upload(operands);
      const outputs = new Map<string, Feed>();
      for (const name of products) outputs.set(name, await memory.zeros(shapes[name]));
      tensors.push(...feeds.values(), ...outputs.values());
      runs.push({ count, run: () => session.run(feeds, outputs) });
    }
    return new GemmRun(runs, sessions, memory, tensors, await memory.zeros([1]));
  }

  async run(): Promise<void> {
    for (const { run, count } of this.runs) for (let i = 0; i < count; i++) await run();
    // What comes from a device comes after what was asked of it before.
    await this.memory.download(this.mark);
  }

  async release(): Promise<void> {
    for (const session of this.sessions) await session.release();
    for (const tensor of [...this.tensors, this.mark]) this.memory.free(tensor);
  }
}

/** Numbers of all signs and sizes: a card is faster on zeros. */
function pattern([m, n]: readonly [number, number]): Float32Array {
  return Float32Array.from(
    { length: m * n },
    (_, i) => ((Math.imul(i, 2_654_435_761) >>> 8) / 2 ** 24 - 0.5) / 8,
  );
}
