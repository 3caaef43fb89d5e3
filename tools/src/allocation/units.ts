import { SpeedqError, namedScheme, packedBytes } from '@speedq/format';
import type { BilevelName, BilevelScheme, SymmetricName } from '@speedq/format';
import type { ParameterSpec } from '@speedq/model';
import type { ResolvedScheme } from '../recipes/resolve-schemes.ts';

/** A scheme that a unit may get. */
export type SchemeChoice = BilevelName | SymmetricName;

/** Linears that get the same bits: the kernels compute q, k and v, or gate and up, in one go where these are alike. */
export interface Unit {
  readonly name: string;
  readonly parameters: readonly ParameterSpec[];
  /** From few to many bits. */
  readonly choices: readonly { readonly scheme: SchemeChoice; readonly bytes: number }[];
}

/** By where codes begin, which stays as the recipe has it: not every method learns minima. */
const LINEAR_CHOICES: Readonly<Record<BilevelScheme['zero'], readonly BilevelName[]>> = {
  integer: ['2bit-g64', '2bit-g16', '3bit-g32', '4bit-g32-qq16'],
  minimum: ['2bit-g64-min', '2bit-g16-min', '3bit-g32-min', '4bit-g32-min'],
};
const TABLE_CHOICES: readonly SymmetricName[] = ['2bit-symmetric', '3bit-symmetric-g64', '4bit-symmetric'];

const TOGETHER = [
  [/\.(q|k|v)_proj\.weight$/, '.qkv_proj'],
  [/\.(gate|up)_proj\.weight$/, '.gate_up_proj'],
] as const;

/** The quantized tensors of a recipe; `tables`: also embedding and head. In model order. */
export function unitsOf(
  parameters: readonly ParameterSpec[],
  schemes: ReadonlyMap<string, ResolvedScheme>,
  tables: boolean,
): Unit[] {
  const members = new Map<string, ParameterSpec[]>();
  for (const parameter of parameters) {
    const scheme = schemes.get(parameter.name)!;
    if (scheme === 'float' || (scheme.kind === 'symmetric' && !tables)) continue;
    let unit = parameter.name.replace(/\.weight$/, '');
    for (const [pattern, joined] of TOGETHER) {
      if (pattern.test(parameter.name)) unit = parameter.name.replace(pattern, joined);
    }
    members.set(unit, [...(members.get(unit) ?? []), parameter]);
  }
  return [...members].map(([name, own]) => {
    const scheme = schemes.get(own[0].name) as Exclude<ResolvedScheme, 'float'>;
    const candidates = scheme.kind === 'symmetric' ? TABLE_CHOICES : LINEAR_CHOICES[scheme.zero];
    const choices = candidates.flatMap((candidate) => {
      const bytes = bytesOf(candidate, own);
      return bytes === undefined ? [] : [{ scheme: candidate, bytes }];
    });
    if (choices.length === 0) {
      throw new SpeedqError(
        'shape-mismatch',
        `${name}: none of ${candidates.join(', ')} fits [${own[0].shape.join(', ')}]. Keep it float in the recipe.`,
      );
    }
    return { name, parameters: own, choices };
  });
}

/** Undefined where the scheme does not fit the shapes. */
function bytesOf(name: SchemeChoice, parameters: readonly ParameterSpec[]): number | undefined {
  let bytes = 0;
  for (const { shape, name: tensor } of parameters) {
    try {
      bytes += packedBytes(namedScheme(name, shape[1])!, shape, tensor);
    } catch (error) {
      if (error instanceof SpeedqError && error.code === 'shape-mismatch') return undefined;
      throw error;
    }
  }
  return bytes;
}
