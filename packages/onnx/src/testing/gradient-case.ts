import type { Graph, Tensor } from '../graph.ts';
import { randomNormals, randomSource } from './random.ts';

type Kind = 'normal' | 'positive';
/** A differentiable input: its shape, and where its values must lie. */
export type Differentiable = readonly [shape: readonly number[], kind?: Kind, scale?: number];

/**
 * Makes data an input without a gradient. Constants will not do: onnxruntime folds what depends on them
 * alone, on the CPU, and so hides what a provider cannot do.
 */
export type Feeder = (data: Float32Array | Int32Array, shape: readonly number[]) => Tensor;

export interface GradientCase {
  readonly name: string;
  /** Checked, each, against float64. */
  readonly inputs: Readonly<Record<string, Differentiable>>;
  readonly build: (g: Graph, inputs: Record<string, Tensor>, feed: Feeder) => Tensor;
}

export function inputValues([shape, kind = 'normal', scale = 1]: Differentiable, seed: number): Float32Array {
  const count = shape.reduce((product, dim) => product * dim, 1);
  const normals = randomNormals(count, seed);
  return normals.map((value) => scale * (kind === 'positive' ? 0.2 + Math.abs(value) : value));
}

/** Row numbers below `rows`, with many repeats. */
function repeatedRows(count: number, rows: number, seed: number): Int32Array {
  const random = randomSource(seed);
  return Int32Array.from({ length: count }, () => Math.floor(random() ** 2 * rows));
}

/** `repeatedRows` as an input. */
export const indices = (feed: Feeder, count: number, rows: number) =>
  feed(repeatedRows(count, rows, 5), [count]);

/** Lengths that decide what a case costs. Those of pico take minutes on a software GPU. */
export interface Sizes {
  readonly hidden: number;
  readonly narrow: number;
  readonly wide: number;
  readonly rows: number;
  readonly headDim: number;
  readonly length: number;
  readonly grid: number;
}

export const REALISTIC: Sizes = {
  hidden: 256,
  narrow: 96,
  wide: 320,
  rows: 300,
  headDim: 64,
  length: 52,
  grid: 6,
};
export const SMALL: Sizes = { hidden: 64, narrow: 24, wide: 48, rows: 70, headDim: 16, length: 26, grid: 4 };
