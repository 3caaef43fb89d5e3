import { BILEVEL_2BIT_G16, SYMMETRIC_4BIT } from '@speedq/format';
import type { Scheme } from '@speedq/format';
import type { TensorSource } from '@speedq/model';
import { adamwStep, ADAMW_DEFAULTS } from '@speedq/onnx';
import * as onnxruntime from 'onnxruntime-node';
import { GemmRun, workOperations } from '../bench/gemm-rate.ts';
import type { LinearWork } from '../bench/gemm-rate.ts';
import { createRandom } from '../data/random.ts';
import { quantizeTensor } from '../packing/quantize-tensor.ts';

/** How fast this machine is at what quantizing takes, as it is loaded now. */
export interface MachineRates {
  /** Operations per second of onnxruntime's float32 matrix products. */
  readonly gemm: number;
  /** Weights per second that are rounded to nearest and packed, by kind of scheme. */
  readonly bilevel: number;
  readonly symmetric: number;
  /** Parameters per second that AdamW updates. */
  readonly adamw: number;
}

/** Products like those of a decoder layer on a sequence of 512. */
const GEMM: readonly LinearWork[] = [{ rows: 512, inputs: 896, out: 4864, count: 1, products: ['y', 'dx'] }];
const ROWS = 256;
const COLUMNS = 4096;
const SAMPLES = 3;

/** Takes a second or two. */
export async function measureMachine(threads: number): Promise<MachineRates> {
  const gemm = await GemmRun.create(onnxruntime, GEMM, { threads });
  const random = createRandom(1);
  const values = Float32Array.from({ length: ROWS * COLUMNS }, () => random.next() - 0.5);
  const parameter = { name: 'weight', shape: [ROWS, COLUMNS], part: 'language', role: 'linear' } as const;
  const source: TensorSource = {
    parameters: [parameter],
    headIsTied: false,
    parameter: () => parameter,
    read: () => Promise.resolve(values),
    readRows: (_name, start, end) => Promise.resolve(values.subarray(start * COLUMNS, end * COLUMNS)),
  };
  const rounding = (scheme: Scheme) =>
    perSecond(values.length, () => quantizeTensor(source, 'weight', scheme));
  const moments = {
    parameters: values.slice(),
    gradients: values,
    m: values.slice(),
    v: values.map(Math.abs),
  };
  const settings = { ...ADAMW_DEFAULTS, learningRate: 1e-5, step: 1, scale: 1 };
  try {
    return {
      gemm: await perSecond(workOperations(GEMM), () => gemm.run()),
      bilevel: await rounding(BILEVEL_2BIT_G16),
      symmetric: await rounding(SYMMETRIC_4BIT),
      adamw: await perSecond(values.length, () => {
        adamwStep(moments, { begin: 0, end: values.length }, settings);
      }),
    };
  } finally {
    await gemm.release();
  }
}

/** Of several times the middle one, after one that warms up. */
async function perSecond(amount: number, run: () => unknown): Promise<number> {
  await run();
  const times: number[] = [];
  for (let i = 0; i < SAMPLES; i++) {
    const begin = performance.now();
    await run();
    times.push((performance.now() - begin) / 1000);
  }
  return amount / times.toSorted((a, b) => a - b)[SAMPLES >> 1];
}
