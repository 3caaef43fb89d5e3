import { elementCount } from '@speedq/model';
import type { ParameterShapes } from './graph-parameters.ts';

/** Views, by name, of one flat array that holds a value for every element of the named parameters. */
export function gradientViews(names: readonly string[], shapes: ParameterShapes): Map<string, Float32Array> {
  const sizes = names.map((name) => elementCount(shapes.get(name)!));
  const flat = new Float32Array(sizes.reduce((total, size) => total + size, 0));
  let offset = 0;
  return new Map(names.map((name, i) => [name, flat.subarray(offset, (offset += sizes[i]))]));
}
