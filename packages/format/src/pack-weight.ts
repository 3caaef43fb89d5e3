import { quantizeBilevelTensor } from './bilevel.ts';
import type { BilevelOptions } from './bilevel.ts';
import { packFloat } from './float-tensor.ts';
import { packBilevel, packSymmetric } from './pack.ts';
import type { PackedTensor } from './pack.ts';
import type { Scheme } from './schemes.ts';
import { quantizeSymmetric } from './symmetric.ts';

/**
 * Rounds a weight to nearest in any scheme and packs it. Throws what quantizing and packing throw.
 */
export function packWeight(
  weight: Float32Array,
  shape: readonly number[],
  scheme: Scheme,
  options: BilevelOptions = {},
): PackedTensor {
  const [rows, columns] = shape;
  if (scheme.kind === 'float') return packFloat(weight, shape, scheme, options.name);
  if (scheme.kind === 'symmetric') {
    return packSymmetric(quantizeSymmetric(weight, rows, columns, scheme, options), options.name);
  }
  return packBilevel(quantizeBilevelTensor(weight, rows, columns, scheme, options), options.name);
}
