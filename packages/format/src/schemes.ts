import { SpeedqError } from './errors.ts';

/**
 * Group-wise affine quantization whose scales are quantized again (docs/format.md): groupSize columns of a
 * row share a scale and an integer zero point; scaleGroupSize consecutive rows at one column group share the
 * fp16 step and minimum of their 4-bit scale codes.
 */
export interface BilevelScheme {
  readonly kind: 'bilevel';
  readonly bits: 2 | 3 | 4;
  readonly groupSize: number;
  readonly scaleGroupSize: number;
  readonly zero: 'integer';
}

/** Symmetric 4-bit codes around 7 with one fp16 scale per 32 columns: embedding table and head. */
export interface SymmetricScheme {
  readonly kind: 'symmetric';
  readonly bits: 4;
  readonly groupSize: 32;
}

export interface FloatScheme {
  readonly kind: 'float';
  readonly dtype: 'f16' | 'f32';
}

export type Scheme = BilevelScheme | SymmetricScheme | FloatScheme;

const bilevel = (bits: 2 | 3 | 4, groupSize: number, scaleGroupSize: number): BilevelScheme =>
  Object.freeze({ kind: 'bilevel', bits, groupSize, scaleGroupSize, zero: 'integer' });

/** 2.5 bits per weight. */
export const BILEVEL_2BIT_G16 = bilevel(2, 16, 16);
/** 2.0625 bits per weight. */
export const BILEVEL_2BIT_G128 = bilevel(2, 128, 16);
/** 3.5625 bits per weight; arithmetic only, no packed layout yet. */
export const BILEVEL_3BIT_G16 = bilevel(3, 16, 16);
/** 4.2578125 bits per weight. */
export const BILEVEL_4BIT_G32 = bilevel(4, 32, 128);
/** 4.3125 bits per weight: the 4-bit half of the mixed recipe. */
export const BILEVEL_4BIT_G32_QQ16 = bilevel(4, 32, 16);
/** 4.5 bits per weight. */
export const SYMMETRIC_4BIT: SymmetricScheme = Object.freeze({ kind: 'symmetric', bits: 4, groupSize: 32 });
export const FLOAT16: FloatScheme = Object.freeze({ kind: 'float', dtype: 'f16' });
export const FLOAT32: FloatScheme = Object.freeze({ kind: 'float', dtype: 'f32' });

/** The schemes that have a name, as docs/format.md lists them. */
export const SCHEMES = {
  '2bit-g16': BILEVEL_2BIT_G16,
  '2bit-g128': BILEVEL_2BIT_G128,
  '3bit-g16': BILEVEL_3BIT_G16,
  '4bit-g32': BILEVEL_4BIT_G32,
  '4bit-g32-qq16': BILEVEL_4BIT_G32_QQ16,
  '4bit-symmetric': SYMMETRIC_4BIT,
  f16: FLOAT16,
  f32: FLOAT32,
} as const satisfies Record<string, Scheme>;

export type SchemeName = keyof typeof SCHEMES;

/** The name of a scheme, or a description where it has none. */
export function schemeName(scheme: Scheme): string {
  const key = schemeKey(scheme);
  for (const [name, known] of Object.entries(SCHEMES)) if (schemeKey(known) === key) return name;
  return key;
}

function schemeKey(scheme: Scheme): string {
  if (scheme.kind === 'float') return scheme.dtype;
  if (scheme.kind === 'symmetric') return `symmetric-${scheme.bits}bit-g${scheme.groupSize}`;
  return `bilevel-${scheme.bits}bit-g${scheme.groupSize}-qq${scheme.scaleGroupSize}-${scheme.zero}`;
}

/** Largest code, 2^bits − 1. */
export function maxCode(scheme: BilevelScheme): number {
  return 2 ** scheme.bits - 1;
}

/** Words of one row in a block, and words of one block's meta record (docs/format.md). */
export interface BilevelLayout {
  readonly codeWords: number;
  readonly zeroWords: number;
  readonly scaleWords: number;
  readonly metaWords: number;
}

/** Throws `unsupported` for a scheme whose rows or records are not whole words (3 bits). */
export function bilevelLayout(scheme: BilevelScheme): BilevelLayout {
  const { bits, groupSize, scaleGroupSize } = scheme;
  const codeWords = (groupSize * bits) / 32;
  const zeroWords = (scaleGroupSize * bits) / 32;
  const scaleWords = (scaleGroupSize * 4) / 32;
  if (bits === 3 || ![codeWords, zeroWords, scaleWords].every(Number.isInteger)) {
    throw new SpeedqError(
      'unsupported',
      `${schemeName(scheme)} has no packed layout: groupSize·bits, scaleGroupSize·bits and scaleGroupSize·4 ` +
        `must be multiples of 32 and bits 2 or 4. Choose one of ${Object.keys(SCHEMES).join(', ')}.`,
    );
  }
  return { codeWords, zeroWords, scaleWords, metaWords: zeroWords + scaleWords + 1 };
}

/**
 * Throws `invalid-scheme` if the scheme itself is out of range, `shape-mismatch` if a tensor of this shape
 * cannot be stored in it; both name the tensor.
 */
export function checkScheme(scheme: Scheme, shape: readonly number[], tensor: string): void {
  if (scheme.kind === 'float') return;
  const { groupSize } = scheme;
  const scaleGroupSize = scheme.kind === 'bilevel' ? scheme.scaleGroupSize : 1;
  if (!isPositiveInteger(groupSize) || !isPositiveInteger(scaleGroupSize)) {
    throw new SpeedqError(
      'invalid-scheme',
      `${tensor}: group sizes must be positive integers, got ${groupSize} and ${scaleGroupSize}.`,
    );
  }
  if (![2, 3, 4].includes(scheme.bits)) {
    throw new SpeedqError('invalid-scheme', `${tensor}: bits must be 2, 3 or 4, got ${scheme.bits}.`);
  }
  const name = schemeName(scheme);
  if (shape.length !== 2) {
    throw new SpeedqError(
      'shape-mismatch',
      `${tensor}: ${name} stores matrices, got shape [${shape.join(', ')}]. Keep this tensor float.`,
    );
  }
  const [rows, columns] = shape;
  if (!isPositiveInteger(rows) || rows % scaleGroupSize !== 0) {
    throw new SpeedqError(
      'shape-mismatch',
      `${tensor}: ${name} needs a row count that is a multiple of ${scaleGroupSize}, got ${rows}. ` +
        `Choose a scheme with a smaller scaleGroupSize or keep this tensor float.`,
    );
  }
  if (!isPositiveInteger(columns) || columns % groupSize !== 0) {
    throw new SpeedqError(
      'shape-mismatch',
      `${tensor}: ${name} needs a column count that is a multiple of ${groupSize}, got ${columns}. ` +
        `Choose a scheme with a smaller groupSize or keep this tensor float.`,
    );
  }
}

function isPositiveInteger(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}

/** Stored bits per weight, scales and zero points included. */
export function bitsPerWeight(scheme: Scheme): number {
  if (scheme.kind === 'float') return scheme.dtype === 'f16' ? 16 : 32;
  if (scheme.kind === 'symmetric') return scheme.bits + 16 / scheme.groupSize;
  const { bits, groupSize, scaleGroupSize } = scheme;
  return bits + bits / groupSize + 4 / groupSize + 32 / (groupSize * scaleGroupSize);
}

/** Exact bytes of a stored tensor, by the formulas of docs/format.md. */
export function packedBytes(scheme: Scheme, shape: readonly number[], tensor = 'tensor'): number {
  checkScheme(scheme, shape, tensor);
  const elements = shape.reduce((product, size) => product * size, 1);
  if (scheme.kind === 'float') return elements * (scheme.dtype === 'f16' ? 2 : 4);
  if (scheme.kind === 'symmetric') return elements / 2 + elements / 16;
  const { groupSize, scaleGroupSize, bits } = scheme;
  const blocks = elements / (groupSize * scaleGroupSize);
  return (elements * bits) / 8 + blocks * bilevelLayout(scheme).metaWords * 4;
}
