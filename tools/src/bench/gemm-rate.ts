import { Graph, Session, primitives as op } from '@speedq/onnx';
import type { OrtModule, Tensor } from '@speedq/onnx';

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
  ) {}

  static async create(ort: OrtModule, work: readonly LinearWork[], threads: number): Promise<GemmRun> {
    const sessions: Session[] = [];
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
      const session = await Session.create(ort, g.build(), { threads });
      sessions.push(session);
      const shapes: Record<string, [number, number]> = {
        x: [rows, inputs],
        w: [out, inputs],
        dy: [rows, out],
        y: [rows, out],
        dx: [rows, inputs],
        dw: [out, inputs],
      };
      const tensor = (name: string) => {
        const [m, n] = shapes[name];
        return [name, session.float(new Float32Array(m * n).fill(0.01), [m, n])] as const;
      };
      const feeds = new Map(['x', 'w', 'dy'].map(tensor));
      const outputs = new Map(products.map(tensor));
      runs.push({ count, run: () => session.run(feeds, outputs) });
    }
    return new GemmRun(runs, sessions);
  }

  async run(): Promise<void> {
    for (const { run, count } of this.runs) for (let i = 0; i < count; i++) await run();
  }

  async release(): Promise<void> {
    for (const session of this.sessions) await session.release();
  }
}
