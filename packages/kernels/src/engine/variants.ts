import { SpeedqError } from '@speedq/format';
import type { Need } from './program.ts';

/**
 * Names of variants, by the case they are for ("matvec 2bit-g16 9728x896") or by op ("matvec") for all its
 * cases that have no entry. What is not named is plain. Plain data, so that it can be kept.
 */
export type VariantChoice = Readonly<Record<string, string>>;

/** One of several programs for the same op: `options` is what its program is made from. */
export interface Variant<T> {
  readonly needs: readonly Need[];
  /**
   * Largest difference to the plain variant that is right, relative to the largest value: rounding in another
   * order, or that of the smaller type it computes in.
   */
  readonly tolerance: number;
  readonly options: T;
}

/** The variants of an op; every op has one that every device runs. */
export interface Variants<T> {
  readonly plain: Variant<T>;
  readonly [name: string]: Variant<T>;
}

/** A case of an op, as it is named in a VariantChoice, and the variants that it can be computed by. */
export interface CaseOptions<T> {
  readonly op: string;
  readonly key: string;
  readonly suits?: (options: T) => boolean;
}

/**
 * The variant chosen for a case of an op. One that was chosen for the whole op and does not suit this case gives
 * way to the plain one.
 * @throws SpeedqError 'invalid-argument' for a name the op does not have
 */
export function chosenVariant<T>(
  choice: VariantChoice,
  variants: Variants<T>,
  { op, key, suits = () => true }: CaseOptions<T>,
): T {
  const name = choice[key] ?? choice[op] ?? 'plain';
  const variant = Object.hasOwn(variants, name) ? variants[name] : undefined;
  if (variant === undefined) {
    throw new SpeedqError(
      'invalid-argument',
      `${op} has no variant "${name}". Choose one of ${Object.keys(variants).join(', ')}.`,
    );
  }
  return suits(variant.options) ? variant.options : variants.plain.options;
}
