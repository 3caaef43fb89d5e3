import type { Norm } from '@speedq/model';
import type { Activation } from './linear.ts';

/** Normed rows of x in `y`; `weight` and `bias` are indices of floats. Statistics in float64. */
export function normRows(
  f32: Float32Array,
  x: Activation,
  y: Activation,
  { kind, epsilon }: Norm,
  weight: number,
  bias: number,
): void {
  const { columns } = x;
  for (let row = 0; row < x.rows; row++) {
    const from = (x.data >>> 2) + row * x.stride;
    const to = (y.data >>> 2) + row * y.stride;
    let mean = 0;
    if (kind === 'layer') {
      for (let i = 0; i < columns; i++) mean += f32[from + i];
      mean /= columns;
    }
    let squares = 0;
    for (let i = 0; i < columns; i++) {
      const value = f32[from + i] - mean;
      squares += value * value;
    }
    const inverse = 1 / Math.sqrt(squares / columns + epsilon);
    for (let i = 0; i < columns; i++) {
      f32[to + i] = (f32[from + i] - mean) * inverse * f32[weight + i] + f32[bias + i];
    }
  }
}
