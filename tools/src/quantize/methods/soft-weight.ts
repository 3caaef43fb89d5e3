import { maxCode } from '@speedq/format';
import type { BilevelScheme } from '@speedq/format';
import { primitives as op } from '@speedq/onnx';
import type { Graph, Tensor } from '@speedq/onnx';
import { SHIFT, STRETCH } from './rounding.ts';

export interface SoftWeight {
  /** [rows, columns]. */
  readonly weight: Tensor;
  /** Σ 1 − |2h − 1|^β: 0 when every weight has chosen its code. */
  readonly indecision: Tensor;
}

/** The inputs that a soft weight declares, for a weight of that name. */
export const roundingInputs = (name: string) => ({
  alpha: `alpha.${name}`,
  base: `base.${name}`,
  scale: `scale.${name}`,
  zero: `zero.${name}`,
});

/** Ŵ(α) as nodes; `beta` is a scalar. */
export function softWeight(
  g: Graph,
  name: string,
  [rows, columns]: readonly number[],
  scheme: BilevelScheme,
  beta: Tensor,
): SoftWeight & { readonly alpha: Tensor } {
  const groups = columns / scheme.groupSize;
  const names = roundingInputs(name);
  const whole = [rows, groups, scheme.groupSize];
  const alpha = g.input(names.alpha, whole);
  const base = g.input(names.base, whole);
  const scale = g.input(names.scale, [rows, groups, 1]);
  const zero = g.input(names.zero, [rows, groups, 1]);
  const h = clip(g, op.add(g, op.mul(g, op.sigmoid(g, alpha), STRETCH), SHIFT), 0, 1);
  const code = clip(g, op.add(g, base, h), 0, maxCode(scheme));
  const weight = op.reshape(g, op.mul(g, op.sub(g, code, zero), scale), [rows, columns]);
  const centred = op.sub(g, op.mul(g, h, 2), 1);
  // |x|^β as exp(β/2 · log x²): onnxruntime's Pow would need its own gradient. The constant keeps log finite.
  const square = op.add(g, op.mul(g, centred, centred), 1e-12);
  const power = op.exp(g, op.mul(g, op.log(g, square), op.mul(g, beta, 0.5)));
  const indecision = op.reduceSum(g, op.sub(g, g.scalar(1), power), [0, 1, 2]);
  return { alpha, weight, indecision: op.reshape(g, indecision, []) };
}

/** Clip that passes gradients inside its bounds only. */
function clip(g: Graph, x: Tensor, low: number, high: number): Tensor {
  return g.node('Clip', [x, g.scalar(low), g.scalar(high)], x.shape, {
    gradient: (graph, _node, [dy]) => {
      const inside = op.mul(
        graph,
        op.cast(graph, op.greaterOrEqual(graph, x, low), 'float32'),
        op.cast(graph, op.lessOrEqual(graph, x, high), 'float32'),
      );
      return [op.mul(graph, dy!, inside)];
    },
  });
}
