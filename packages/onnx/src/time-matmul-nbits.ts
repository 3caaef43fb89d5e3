import { Graph } from './graph.ts';
import { blockConstants, matMulNBits } from './matmul-nbits.ts';
import type { AccuracyLevel, BlockWeights } from './matmul-nbits.ts';
import { Session } from './session.ts';
import type { OrtModule, SessionOptions } from './session.ts';

export interface MatMulNBitsCase {
  /** Of x. */
  readonly rows: number;
  readonly inputs: number;
  readonly out: number;
  readonly bits: 2 | 4;
  readonly blockSize: number;
}

/**
 * Products in the longer of two graphs; what one takes is their difference, without what a run costs anyway. On a
 * fast device a few take less than the time of a run varies by: then the next length is taken.
 */
const PRODUCTS = [9, 129];
const MIN_DIFFERENCE_SECONDS = 0.003;
const SAMPLES = 5;

/**
 * Seconds that onnxruntime takes for a product with a packed matrix, on random codes: of its two accuracy
 * levels the faster. Undefined where the provider does not take it.
 */
export async function timeMatMulNBits(
  ort: OrtModule,
  product: MatMulNBitsCase,
  options: SessionOptions,
): Promise<number | undefined> {
  const times: number[] = [];
  for (const accuracyLevel of [0, 4] as const) {
    const seconds = await timeLevel(ort, product, accuracyLevel, options).catch(() => undefined);
    if (seconds !== undefined) times.push(seconds);
  }
  return times.length === 0 ? undefined : Math.min(...times);
}

async function timeLevel(
  ort: OrtModule,
  product: MatMulNBitsCase,
  accuracyLevel: AccuracyLevel,
  options: SessionOptions,
): Promise<number> {
  let seconds = 0;
  for (const count of PRODUCTS) {
    const difference = await timeDifference(ort, product, accuracyLevel, count, options);
    seconds = difference / (count - 1);
    if (difference >= MIN_DIFFERENCE_SECONDS) break;
  }
  return Math.max(1e-9, seconds);
}

/** Seconds by which a graph of `products` takes longer than a graph of one. */
async function timeDifference(
  ort: OrtModule,
  product: MatMulNBitsCase,
  accuracyLevel: AccuracyLevel,
  products: number,
  options: SessionOptions,
): Promise<number> {
  const { rows, inputs } = product;
  const sessions: Session[] = [];
  try {
    for (const count of [1, products]) {
      const graph = buildGraph(product, accuracyLevel, count);
      // Optimization would find the products to be one.
      sessions.push(await Session.create(ort, graph, { ...options, optimize: false }));
    }
    const x = Float32Array.from({ length: rows * inputs }, (_, i) => ((i * 37) % 101) / 101 - 0.5);
    const run = async (session: Session): Promise<number> => {
      const feeds = new Map([['x', session.float(x, [rows, inputs])]]);
      const begin = performance.now();
      // The other products are computed too: graph outputs are, whether they are fetched or not.
      await session.run(feeds, ['y0']);
      return (performance.now() - begin) / 1000;
    };
    const differences: number[] = [];
    for (const session of sessions) await run(session);
    for (let i = 0; i < SAMPLES; i++) {
      const short = await run(sessions[0]);
      const long = await run(sessions[1]);
      differences.push(long - short);
    }
    return differences.toSorted((a, b) => a - b)[SAMPLES >> 1];
  } finally {
    for (const session of sessions) await session.release();
  }
}

function buildGraph(product: MatMulNBitsCase, accuracyLevel: AccuracyLevel, count: number): Uint8Array {
  const { rows, inputs } = product;
  const g = new Graph();
  const x = g.input('x', [rows, inputs]);
  const blocks = randomBlocks(product);
  const weight = blockConstants(g, 'weight', blocks);
  for (let i = 0; i < count; i++) g.output(`y${i}`, matMulNBits(g, x, weight, blocks, accuracyLevel));
  return g.build();
}

function randomBlocks({ inputs, out, bits, blockSize }: MatMulNBitsCase): BlockWeights {
  const groups = inputs / blockSize;
  const bytes = (length: number): Uint8Array =>
    Uint8Array.from({ length }, (_, i) => Math.imul(i ^ (i >>> 7), 2_654_435_761) >>> 24);
  return {
    ...{ rows: out, columns: inputs, bits, blockSize },
    codes: bytes((out * inputs * bits) / 8),
    scales: new Float32Array(out * groups).fill(0.01),
    zeros: bytes(out * Math.ceil((groups * bits) / 8)),
  };
}
