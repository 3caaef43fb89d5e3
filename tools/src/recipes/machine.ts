import { dequantizeBilevel, quantizeBilevelTensor, schemeName, SYMMETRIC_4BIT } from '@speedq/format';
import type { BilevelScheme, Scheme } from '@speedq/format';
import type { TensorSource } from '@speedq/model';
import { adamwStep, ADAMW_DEFAULTS } from '@speedq/onnx';
import * as onnxruntime from 'onnxruntime-node';
import { GemmRun, workOperations } from '../bench/gemm-rate.ts';
import type { LinearWork } from '../bench/gemm-rate.ts';
import { createRandom } from '../data/random.ts';
import { quantizeTensor } from '../packing/quantize-tensor.ts';
import { searchClipRange } from '../quantize/clip-search/search-clip-range.ts';
import { gptq } from '../quantize/methods/gptq.ts';
import { DoubleProducts, diagonalBlocks, quadraticError } from '../quantize/methods/linear-algebra.ts';
import type { Recipe } from './schema.ts';

/** Weights per second of one scheme, by one thread. */
export interface SchemeRates {
  /** Rounded to nearest and packed. */
  readonly packed: number;
  /** Rounded to nearest and decoded. */
  readonly rounded: number;
  /** Searched for clipping ranges. */
  readonly searched: number;
  /** GPTQ's columns by the recipe's settings, the search in them. */
  readonly corrected: number;
}

/** How fast this machine is at what quantizing takes, were it idle otherwise. */
export interface MachineRates {
  /** Operations per second of onnxruntime's float32 and float64 matrix products, by all threads. */
  readonly gemm: number;
  readonly doubles: number;
  /** By names of schemes. */
  readonly schemes: Readonly<Record<string, SchemeRates>>;
  /** Weights per second of a table that are rounded to nearest and packed. */
  readonly symmetric: number;
  /** Parameters per second that AdamW updates: what is bound by memory. */
  readonly adamw: number;
  /** Float32 values per second added to sums in float64. */
  readonly sums: number;
  /** Multiplications per second of a quadratic form in float64, by one thread. */
  readonly quadratic: number;
}

/** Products like those of a decoder layer on a sequence of 512. */
const GEMM: readonly LinearWork[] = [{ rows: 512, inputs: 896, out: 4864, count: 1, products: ['y', 'dx'] }];
const ROWS = 256;
const COLUMNS = 4096;
/** A weight small enough to be searched through in a fraction of a second. */
const SEARCHED = [128, 512] as const;
const SAMPLES = 5;

/** Takes some seconds. `schemes` are those whose rates are wanted. */
export async function measureMachine(
  threads: number,
  schemes: readonly BilevelScheme[],
  settings: Recipe['gptq'],
): Promise<MachineRates> {
  const gemm = await GemmRun.create(onnxruntime, GEMM, { threads });
  const products = await DoubleProducts.create(threads);
  // Threads that wait for each other's next product would count as time of GPTQ's columns.
  const alone = await DoubleProducts.create(1);
  const random = createRandom(1);
  // Nearly normal, as weights are: how long a search takes depends on it.
  const normal = () => random.next() + random.next() + random.next() + random.next() - 2;
  const values = Float32Array.from({ length: ROWS * COLUMNS }, normal);
  const doubles = Float64Array.from(values);
  const parameter = { name: 'weight', shape: [ROWS, COLUMNS], part: 'language', role: 'linear' } as const;
  const source: TensorSource = {
    parameters: [parameter],
    headIsTied: false,
    parameter: () => parameter,
    read: () => Promise.resolve(values),
    readRows: (_name, start, end) => Promise.resolve(values.subarray(start * COLUMNS, end * COLUMNS)),
  };
  const packing = (scheme: Scheme) =>
    perSecond(values.length, () => quantizeTensor(source, 'weight', scheme));
  const moments = {
    parameters: values.slice(),
    gradients: values,
    m: values.slice(),
    v: values.map(Math.abs),
  };
  const adam = { ...ADAMW_DEFAULTS, learningRate: 1e-5, step: 1, scale: 1 };
  const [rows, columns] = SEARCHED;
  const weight = values.subarray(0, rows * columns);
  const gram = diagonal(columns);
  const quadratic = values.subarray(0, 16 * columns);
  const ratesOf = async (scheme: BilevelScheme): Promise<SchemeRates> => {
    const blocks = diagonalBlocks(gram, columns, scheme.groupSize);
    return {
      packed: await packing(scheme),
      rounded: await perSecond(values.length, () => {
        const tensor = quantizeBilevelTensor(values, ROWS, COLUMNS, scheme);
        dequantizeBilevel(tensor.codes, tensor);
      }),
      searched: await perSecond(weight.length, () => searchClipRange(weight, rows, columns, scheme, blocks)),
      corrected: await perSecond(weight.length, () =>
        gptq(weight, rows, columns, scheme, gram, settings, alone),
      ),
    };
  };
  try {
    const found: [string, SchemeRates][] = [];
    for (const scheme of schemes) found.push([schemeName(scheme), await ratesOf(scheme)]);
    return {
      gemm: await perSecond(workOperations(GEMM), () => gemm.run(), threads),
      doubles: await perSecond(
        2 * 256 * 1024 * 1024,
        () => products.multiply(doubles.subarray(0, 256 * 1024), doubles, [256, 1024, 1024]),
        threads,
      ),
      schemes: Object.fromEntries(found),
      symmetric: await packing(SYMMETRIC_4BIT),
      adamw: await perSecond(values.length, () => {
        adamwStep(moments, { begin: 0, end: values.length }, adam);
      }),
      sums: await perSecond(values.length, () => {
        for (let i = 0; i < values.length; i++) doubles[i] += values[i];
      }),
      quadratic: await perSecond(quadratic.length * columns, () => quadraticError(quadratic, gram, columns)),
    };
  } finally {
    await gemm.release();
    await products.release();
    await alone.release();
  }
}

/** A Gram matrix of inputs that have nothing in common. */
function diagonal(columns: number): Float64Array {
  const gram = new Float64Array(columns * columns);
  for (let i = 0; i < columns; i++) gram[i * columns + i] = 1 + i / columns;
  return gram;
}

/**
 * Of several times the shortest, after one that warms up, and of processors: other work on the machine changes that
 * least. `threads` are those that the work is spread over.
 */
async function perSecond(amount: number, run: () => unknown, threads = 1): Promise<number> {
  await run();
  const times: number[] = [];
  for (let i = 0; i < SAMPLES; i++) {
    const begin = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(begin);
    times.push((user + system) / 1e6 / threads);
  }
  return amount / Math.min(...times);
}
