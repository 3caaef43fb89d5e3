import type { Binding } from '../../engine/program.ts';
import { floats } from '../../engine/program.ts';
import { GELU, SILU } from './wgsl.ts';

/** What happens to a linear's sum before it is written, in this order. */
export interface EpilogueOptions {
  /** + bias[feature] */
  readonly bias: boolean;
  readonly activation: 'none' | 'gelu';
  /** ⊙ scale[feature] */
  readonly scale: boolean;
  /** · silu(gate[row, feature]) */
  readonly gate: boolean;
  /** + what y[row, feature] was before */
  readonly residual: boolean;
}

type EpilogueBinding = 'bias' | 'scale' | 'gate';

export function epilogueBindings(options: EpilogueOptions): Record<EpilogueBinding, Binding | undefined> {
  const present = (wanted: boolean) => (wanted ? floats('read') : undefined);
  return {
    bias: present(options.bias),
    scale: present(options.scale),
    gate: present(options.gate),
  };
}

/**
 * Defines `fn finish(row: u32, feature: u32, sum: f32)`, which writes y[row, feature]; FEATURES is the width.
 * @param returns it returns what it wrote, too
 */
export function epilogueCode(
  { bias, activation, scale, gate, residual }: EpilogueOptions,
  returns = false,
): string {
  return `${activation === 'gelu' ? GELU : ''}${gate ? SILU : ''}
fn finish(row: u32, feature: u32, sum: f32) ${returns ? '-> f32 ' : ''}{
  let at = row * FEATURES + feature;
  var v = sum;
  ${bias ? 'v += bias[feature];' : ''}
  ${activation === 'gelu' ? 'v = gelu(v);' : ''}
  ${scale ? 'v *= scale[feature];' : ''}
  ${gate ? 'v *= silu(gate[at]);' : ''}
  ${residual ? 'v += y[at];' : ''}
  y[at] = v;
  ${returns ? 'return v;' : ''}
}`;
}
