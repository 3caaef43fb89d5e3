import type { Variant, Variants } from '../../engine/variants.ts';
import type { Need } from '../../engine/program.ts';
import { UNIT } from './weight-code.ts';

export interface MatvecVariant {
  readonly threads: number;
  /** Teams of threads, each of which sums four rows; undefined: as many as leave a team a warp's width. */
  readonly teams?: 1 | 2 | 4;
  /** How the sums of a team's threads come together: one thread adds them up, by halves, or within subgroups. */
  readonly reduction: 'scan' | 'tree' | 'subgroups';
  /** 'integer': x as 8-bit codes with a scale for every 16 columns, multiplied with the weights' codes. */
  readonly product: 'float' | 'integer';
}

/** Sums in another order. */
const REORDERED = 1e-5;
/** Rounding x to 255 steps: 0.3 % of a term at random signs, of which a row's largest sum has less. */
const ROUNDED_TO_8_BITS = 2e-2;

function variant(
  threads: number,
  teams: MatvecVariant['teams'],
  reduction: MatvecVariant['reduction'],
  product: MatvecVariant['product'] = 'float',
): Variant<MatvecVariant> {
  const needs: Need[] = [];
  if (reduction === 'subgroups') needs.push('subgroups');
  if (product === 'integer') needs.push('packed_4x8_integer_dot_product');
  return {
    needs,
    tolerance: product === 'integer' ? ROUNDED_TO_8_BITS : REORDERED,
    options: { threads, teams, reduction, product },
  };
}

/** Few rows and many threads suit long rows and small matrices; four teams read whole panels of 16 rows. */
export const MATVEC_VARIANTS: Variants<MatvecVariant> = {
  plain: variant(64, undefined, 'scan'),
  'rows4-threads64': variant(64, 1, 'tree'),
  'rows4-threads256': variant(256, 1, 'tree'),
  'rows16-threads128': variant(128, 4, 'tree'),
  'rows16-threads256': variant(256, 4, 'tree'),
  'rows4-threads64-subgroups': variant(64, 1, 'subgroups'),
  'rows4-threads128-subgroups': variant(128, 1, 'subgroups'),
  'rows4-threads256-subgroups': variant(256, 1, 'subgroups'),
  'rows16-threads128-subgroups': variant(128, 4, 'subgroups'),
  'rows16-threads256-subgroups': variant(256, 4, 'subgroups'),
  'rows4-threads64-integer': variant(64, 1, 'tree', 'integer'),
  'rows16-threads128-integer': variant(128, 4, 'tree', 'integer'),
  'rows16-threads256-integer': variant(256, 4, 'tree', 'integer'),
  'rows16-threads128-integer-subgroups': variant(128, 4, 'subgroups', 'integer'),
};

/** Threads of a team. */
export function lanesOf({ threads, teams }: MatvecVariant, columns: number): number {
  if (teams !== undefined) return threads / teams;
  const units = Math.ceil(columns / UNIT);
  let lanes = 4;
  while (lanes < 32 && lanes < units) lanes *= 2;
  return lanes;
}

/** Weight rows of one workgroup: each thread sums four. */
export function matvecRows(variant: MatvecVariant, columns: number): number {
  return (variant.threads / lanesOf(variant, columns)) * 4;
}
