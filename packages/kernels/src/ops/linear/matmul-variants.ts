import type { Need } from '../../engine/program.ts';
import type { Variant, Variants } from '../../engine/variants.ts';

export interface MatmulVariant {
  /** Rows of x and features of y that a workgroup computes; a thread has rows·features/threads of them. */
  readonly tileRows: number;
  readonly tileFeatures: number;
  readonly threads: number;
  /** Units of 16 columns that a step takes through workgroup memory. */
  readonly stepUnits: number;
  /**
   * What lies in workgroup memory: 'f32', 'f16' (products and sums are f32 all the same), or 'integer': x as 8-bit
   * codes with a scale for every 16 columns, next to the weights' codes.
   */
  readonly tiles: 'f32' | 'f16' | 'integer';
}

const NEEDS: Record<MatmulVariant['tiles'], readonly Need[]> = {
  f32: [],
  f16: ['shader-f16'],
  integer: ['packed_4x8_integer_dot_product'],
};

/** Sums in another order; x and weights rounded to 11 bits; x rounded to 255 steps. */
const TOLERANCE: Record<MatmulVariant['tiles'], number> = { f32: 1e-5, f16: 2e-3, integer: 2e-2 };

function variant(
  tileRows: number,
  tileFeatures: number,
  threads: number,
  stepUnits: number,
  tiles: MatmulVariant['tiles'] = 'f32',
): Variant<MatmulVariant> {
  return {
    needs: NEEDS[tiles],
    tolerance: TOLERANCE[tiles],
    options: { tileRows, tileFeatures, threads, stepUnits, tiles },
  };
}

/** Larger tiles read less and need more threads to fill; all keep to 16 KiB of workgroup memory. */
export const MATMUL_VARIANTS: Variants<MatmulVariant> = {
  plain: variant(32, 64, 64, 2),
  tile32x32: variant(32, 32, 64, 2),
  tile64x64: variant(64, 64, 128, 1),
  tile128x64: variant(128, 64, 256, 1),
  'tile64x64-f16': variant(64, 64, 128, 2, 'f16'),
  'tile128x64-f16': variant(128, 64, 256, 2, 'f16'),
  'tile64x64-integer': variant(64, 64, 128, 2, 'integer'),
  'tile128x64-integer': variant(128, 64, 256, 2, 'integer'),
};
