import type { Graph, Tensor } from './graph.ts';
import * as op from './primitives.ts';

/** Decoupled weight decay Adam (Loshchilov & Hutter 2019), PyTorch's order of operations. */
export interface AdamWSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
}

export const ADAMW_DEFAULTS: AdamWSettings = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 };

/**
 * One in-place step over elements [begin, end) of flat arrays. `step` counts from 1. `scale` multiplies
 * the gradient (clipping, averaging). Call it per parameter, so that norms and biases can go undecayed.
 */
export function adamwStep(
  state: { parameters: Float32Array; gradients: Float32Array; m: Float32Array; v: Float32Array },
  range: { begin: number; end: number },
  settings: AdamWSettings & { learningRate: number; step: number; scale?: number },
): void {
  const { parameters, gradients, m, v } = state;
  const { beta1, beta2, epsilon, weightDecay, learningRate, step, scale = 1 } = settings;
  const correction1 = 1 - power(beta1, step);
  const correction2 = Math.sqrt(1 - power(beta2, step));
  const stepSize = learningRate / correction1;
  const shrink = 1 - learningRate * weightDecay;
  for (let i = range.begin; i < range.end; i++) {
    const gradient = gradients[i] * scale;
    const m1 = beta1 * m[i] + (1 - beta1) * gradient;
    const v1 = beta2 * v[i] + (1 - beta2) * gradient * gradient;
    m[i] = m1;
    v[i] = v1;
    parameters[i] = parameters[i] * shrink - (stepSize * m1) / (Math.sqrt(v1) / correction2 + epsilon);
  }
}

/** What a graph's step is fed, [9]; `adamwNodes` reads it. `scale`, `learningRate` and `step` as in `adamwStep`. */
export function adamwCoefficients(
  settings: AdamWSettings & { learningRate: number; step: number; scale?: number },
): Float32Array {
  const { beta1, beta2, epsilon, weightDecay, learningRate, step, scale = 1 } = settings;
  return Float32Array.of(
    scale,
    learningRate / (1 - power(beta1, step)),
    1 / Math.sqrt(1 - power(beta2, step)),
    learningRate * weightDecay,
    beta1,
    1 - beta1,
    beta2,
    1 - beta2,
    epsilon,
  );
}

/** The step as nodes, on tensors of one shape. `rate` multiplies the learning rate. */
export function adamwNodes(
  g: Graph,
  state: { parameter: Tensor; gradient: Tensor; m: Tensor; v: Tensor },
  coefficients: Tensor,
  { decays, rate }: { decays: boolean; rate: number },
): { parameter: Tensor; m: Tensor; v: Tensor } {
  const parts = op.split(g, coefficients, new Array<number>(9).fill(1), 0);
  const [scale, stepSize, correction, decay, beta1, rest1, beta2, rest2, epsilon] = parts;
  const gradient = op.mul(g, state.gradient, scale);
  const m = op.add(g, op.mul(g, state.m, beta1), op.mul(g, gradient, rest1));
  const v = op.add(g, op.mul(g, state.v, beta2), op.mul(g, op.mul(g, gradient, gradient), rest2));
  const root = op.add(g, op.mul(g, op.sqrt(g, v), correction), epsilon);
  const step = op.div(g, op.mul(g, m, stepSize), root);
  // One sum, rounded once: a learning rate times a decay is less than what float32 can take off 1.
  const whole = decays ? op.add(g, step, op.mul(g, state.parameter, decay)) : step;
  return { parameter: op.sub(g, state.parameter, rate === 1 ? whole : op.mul(g, whole, rate)), m, v };
}

/**
 * base^exponent for a whole exponent. Not `**`: V8 moves that call, which it takes for a pure
 * expression, down into the loop that uses it, and every element then pays for it (measured: 90 instead
 * of 5 ns an element).
 */
function power(base: number, exponent: number): number {
  let result = 1;
  for (let factor = base; exponent > 0; exponent = Math.floor(exponent / 2), factor *= factor) {
    if (exponent % 2 === 1) result *= factor;
  }
  return result;
}
