import { SpeedqError } from './errors.ts';
import { HALF_MAX, HALF_MIN_NORMAL, floatsToHalves } from './float16.ts';
import type { PackedFloat } from './pack.ts';
import { FLOAT16, FLOAT32 } from './schemes.ts';
import type { FloatScheme } from './schemes.ts';

/**
 * fp16, or float32 where fp16 overflows, where the whole tensor is so small that fp16 would hold it as
 * subnormals, or where an odd element count would break 4-byte alignment.
 */
export function chooseFloatScheme(values: Float32Array): FloatScheme {
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]);
    if (!(magnitude <= HALF_MAX)) return FLOAT32;
    if (magnitude > largest) largest = magnitude;
  }
  const subnormal = largest > 0 && largest < HALF_MIN_NORMAL;
  return subnormal || values.length % 2 !== 0 ? FLOAT32 : FLOAT16;
}

/** A tensor that stays float, in its chosen or the given precision. Throws `shape-mismatch`. */
export function packFloat(
  values: Float32Array,
  shape: readonly number[],
  scheme: FloatScheme = chooseFloatScheme(values),
  name = 'tensor',
): PackedFloat {
  const elements = shape.reduce((product, size) => product * size, 1);
  if (elements !== values.length) {
    throw new SpeedqError(
      'shape-mismatch',
      `${name}: shape [${shape.join(', ')}] has ${elements} elements, got ${values.length} values.`,
    );
  }
  return { scheme, shape, data: scheme.dtype === 'f16' ? floatsToHalves(values) : values };
}
