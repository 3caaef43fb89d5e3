import { adamwStep } from '@speedq/onnx';
import type { AdamWSettings } from '@speedq/onnx';
import type { State } from './state-file.ts';
import { restore } from './state-file.ts';

export interface UpdateSettings extends AdamWSettings {
  readonly learningRate: number;
  /** Gradient norm to clip at; 0 for none. */
  readonly clipNorm: number;
}

export interface OptimizedParameter<Data> {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Data;
  /** Multiplies the learning rate; default 1. */
  readonly rate?: number;
}

/** What a gradient of this norm is multiplied by. */
export function clipScale(norm: number, clipNorm: number): number {
  return clipNorm > 0 && norm > clipNorm ? clipNorm / (norm + 1e-6) : 1;
}

/**
 * AdamW over named parameters. Norms and biases, the vectors, are not decayed; parameters without a gradient in
 * an update keep their moments, as PyTorch's optimizers do.
 */
export class Optimizer {
  private readonly m: Float32Array;
  private readonly v: Float32Array;
  private readonly values: Float32Array;
  private readonly slots = new Map<
    string,
    { readonly begin: number; readonly end: number; readonly decays: boolean; readonly rate: number }
  >();
  /** Updates done. */
  steps = 0;

  /** Copies the parameters; `views` are what it trains. */
  constructor(parameters: readonly OptimizedParameter<Float32Array>[]) {
    const total = parameters.reduce((sum, { data }) => sum + data.length, 0);
    this.values = new Float32Array(total);
    this.m = new Float32Array(total);
    this.v = new Float32Array(total);
    let begin = 0;
    for (const { name, shape, data, rate = 1 } of parameters) {
      this.values.set(data, begin);
      this.slots.set(name, { begin, end: begin + data.length, decays: shape.length > 1, rate });
      begin += data.length;
    }
  }

  /** The trained values by name; updates happen in them. */
  views(): Map<string, Float32Array> {
    return new Map([...this.slots].map(([name, { begin, end }]) => [name, this.values.subarray(begin, end)]));
  }

  /** Norm of the gradient before clipping. Nothing is updated where it is not finite. */
  update(gradients: ReadonlyMap<string, Float32Array>, settings: UpdateSettings): number {
    let square = 0;
    for (const gradient of gradients.values()) {
      let sum = 0;
      for (let i = 0; i < gradient.length; i++) sum += gradient[i] * gradient[i];
      square += sum;
    }
    const norm = Math.sqrt(square);
    if (!Number.isFinite(norm)) return norm;
    const scale = clipScale(norm, settings.clipNorm);
    const step = ++this.steps;
    for (const [name, gradient] of gradients) {
      const { begin, end, decays, rate } = this.slots.get(name)!;
      adamwStep(
        {
          parameters: this.values.subarray(begin, end),
          gradients: gradient,
          m: this.m.subarray(begin, end),
          v: this.v.subarray(begin, end),
        },
        { begin: 0, end: end - begin },
        {
          ...settings,
          learningRate: settings.learningRate * rate,
          weightDecay: decays ? settings.weightDecay : 0,
          ...{ step, scale },
        },
      );
    }
    return norm;
  }

  state(): Map<string, Float32Array> {
    return new Map([
      ['values', this.values],
      ['m', this.m],
      ['v', this.v],
    ]);
  }

  restore(state: State, steps: number): void {
    restore(state, 'values', this.values);
    restore(state, 'm', this.m);
    restore(state, 'v', this.v);
    this.steps = steps;
  }
}
