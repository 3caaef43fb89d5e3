import { SpeedqError } from './errors.ts';

/**
 * Group-wise affine quantization whose scales are quantized again (docs/format.md): groupSize columns of a
 * row share a scale and where its codes begin; scaleGroupSize consecutive rows at one column group share the
 * fp16 values over which their 4-bit scale codes run.
 */
export interface BilevelScheme {
  readonly kind: 'bilevel';
  readonly bits: 2 | 3 | 4;
  readonly groupSize: number;
  readonly scaleGroupSize: number;
  /** Codes begin at an integer zero point, or at a minimum that is a 4-bit code of its own. */
  readonly zero: 'integer' | 'minimum';
}

/** Symmetric codes with one fp16 scale per groupSize columns: embedding table and head. */
export interface SymmetricScheme {
  readonly kind: 'symmetric';
  readonly bits: 2 | 3 | 4;
  /** A multiple of 32. */
  readonly groupSize: number;
}

export interface FloatScheme {
  readonly kind: 'float';
  readonly dtype: 'f16' | 'f32';
}

export type Scheme = BilevelScheme | SymmetricScheme | FloatScheme;

const bilevel = (
  bits: 2 | 3 | 4,
  groupSize: number,
  scaleGroupSize: number,
  zero: BilevelScheme['zero'] = 'integer',
): BilevelScheme => Object.freeze({ kind: 'bilevel', bits, groupSize, scaleGroupSize, zero });

const symmetric = (bits: 2 | 3 | 4, groupSize: number): SymmetricScheme =>
  Object.freeze({ kind: 'symmetric', bits, groupSize });

/** 2.5 bits per weight. */
export const BILEVEL_2BIT_G16 = bilevel(2, 16, 16);
/** 2.0625 bits per weight. */
export const BILEVEL_2BIT_G128 = bilevel(2, 128, 16);
/** 2.625 bits per weight. */
export const BILEVEL_2BIT_G16_MIN = bilevel(2, 16, 16, 'minimum');
/** 3.5625 bits per weight. */
export const BILEVEL_3BIT_G16 = bilevel(3, 16, 16);
/** 4.2578125 bits per weight. */
export const BILEVEL_4BIT_G32 = bilevel(4, 32, 128);
/** 4.3125 bits per weight: the 4-bit half of the mixed recipe. */
export const BILEVEL_4BIT_G32_QQ16 = bilevel(4, 32, 16);
/** 4.5 bits per weight. */
export const SYMMETRIC_4BIT = symmetric(4, 32);
export const FLOAT16: FloatScheme = Object.freeze({ kind: 'float', dtype: 'f16' });
export const FLOAT32: FloatScheme = Object.freeze({ kind: 'float', dtype: 'f32' });

/** The schemes that docs/format.md lists; namedScheme knows more of the same kinds. */
export const SCHEMES = {
  '2bit-g16': BILEVEL_2BIT_G16,
  '2bit-g128': BILEVEL_2BIT_G128,
  '2bit-g16-min': BILEVEL_2BIT_G16_MIN,
  '3bit-g16': BILEVEL_3BIT_G16,
  '3bit-g16-min': bilevel(3, 16, 16, 'minimum'),
  '4bit-g32': BILEVEL_4BIT_G32,
  '4bit-g32-qq16': BILEVEL_4BIT_G32_QQ16,
  '4bit-g32-min': bilevel(4, 32, 16, 'minimum'),
  '2bit-symmetric': symmetric(2, 32),
  '3bit-symmetric': symmetric(3, 32),
  '4bit-symmetric': SYMMETRIC_4BIT,
  f16: FLOAT16,
  f32: FLOAT32,
} as const satisfies Record<string, Scheme>;

type Suffix<T extends string> = '' | `-${T}`;
export type BilevelName = `${2 | 3 | 4}bit-${'row' | `g${number}`}${Suffix<`qq${number}`>}${Suffix<'min'>}`;
export type SymmetricName = `${2 | 3 | 4}bit-symmetric${Suffix<`g${number}`>}`;
export type SchemeName = BilevelName | SymmetricName | 'f16' | 'f32';

/** 4-bit codes in groups of 32 are the one scheme whose second level spans 128 rows unless it says otherwise. */
const SCALE_GROUP_SIZE = 16;
const SYMMETRIC_GROUP_SIZE = 32;

/**
 * The scheme of a name: bits, "g" and the columns of a group, or "row" for all `columns`; then what differs from
 * 16 rows to a second-level group ("qq32") and from an integer zero point ("min"). For tables "symmetric" and
 * a group other than 32. Undefined for any other name.
 */
export function namedScheme(name: string, columns: number): Scheme | undefined {
  if (Object.hasOwn(SCHEMES, name)) return SCHEMES[name as keyof typeof SCHEMES];
  const table = /^([234])bit-symmetric-g([1-9]\d{0,4})$/.exec(name);
  if (table) return symmetric(Number(table[1]) as 2, Number(table[2]));
  const match = /^([234])bit-(?:(row)|g([1-9]\d{0,4}))(?:-qq([1-9]\d{0,3}))?(-min)?$/.exec(name);
  if (!match) return undefined;
  const [, bits, row, group, rows, minimum] = match;
  return bilevel(
    Number(bits) as 2,
    row ? columns : Number(group),
    Number(rows ?? SCALE_GROUP_SIZE),
    minimum ? 'minimum' : 'integer',
  );
}

/** The name of a scheme, by which namedScheme finds it. */
export function schemeName(scheme: Scheme): string {
  if (scheme.kind === 'float') return scheme.dtype;
  const { bits, groupSize } = scheme;
  if (scheme.kind === 'symmetric') {
    return `${bits}bit-symmetric${groupSize === SYMMETRIC_GROUP_SIZE ? '' : `-g${groupSize}`}`;
  }
  const { scaleGroupSize, zero } = scheme;
  const name = (rows: string) => `${bits}bit-g${groupSize}${rows}${zero === 'minimum' ? '-min' : ''}`;
  const listed: Record<string, Scheme> = SCHEMES;
  const usual = (listed[name('')] as BilevelScheme | undefined)?.scaleGroupSize ?? SCALE_GROUP_SIZE;
  return name(scaleGroupSize === usual ? '' : `-qq${scaleGroupSize}`);
}

/** Largest code, 2^bits − 1. */
export function maxCode(scheme: BilevelScheme): number {
  return 2 ** scheme.bits - 1;
}

/** The code that stands for zero: between two codes below 4 bits, where all of them are needed. */
export function symmetricCentre({ bits }: SymmetricScheme): number {
  return bits === 4 ? 7 : (2 ** bits - 1) / 2;
}

/**
 * Where things lie in a block of a packed bilevel tensor (docs/format.md). 3-bit fields are two planes: their
 * low two bits, then their highest.
 */
export interface BilevelLayout {
  /** Bits of a field in its first plane, and in the second: 2 or 4, and 0 or 1. */
  readonly lowBits: 2 | 4;
  readonly highBits: 0 | 1;
  /** Words of a block's codes, and those of its first plane. */
  readonly codeWords: number;
  readonly lowWords: number;
  /** Bits of a zero point or of a minimum's code in the planes, as above. */
  readonly zeroLowBits: 2 | 4;
  readonly zeroHighBits: 0 | 1;
  /** Words of one block's meta record, and of its parts. */
  readonly zeroWords: number;
  readonly scaleWords: number;
  readonly metaWords: number;
}

/** Throws `unsupported` for a scheme whose rows or records are not whole words. */
export function bilevelLayout(scheme: BilevelScheme): BilevelLayout {
  const { bits, groupSize, scaleGroupSize, zero } = scheme;
  const codes = planes(bits);
  const zeros = planes(zero === 'minimum' ? 4 : bits);
  const zeroWords = (scaleGroupSize * zeros.low) / 32;
  const scaleWords = (scaleGroupSize * 4) / 32;
  const lowWords = (scaleGroupSize * groupSize * codes.low) / 32;
  const highWords = (scaleGroupSize * groupSize * codes.high) / 32;
  const whole = [(groupSize * codes.low) / 32, highWords, zeroWords, scaleWords];
  if (!whole.every(Number.isInteger)) {
    throw new SpeedqError(
      'unsupported',
      `${schemeName(scheme)} has no packed layout: groupSize must be a multiple of ${32 / codes.low} and ` +
        `scaleGroupSize one of ${32 / zeros.low}. Choose one of ${Object.keys(SCHEMES).join(', ')}.`,
    );
  }
  return {
    lowBits: codes.low,
    highBits: codes.high,
    codeWords: lowWords + highWords,
    lowWords,
    zeroLowBits: zeros.low,
    zeroHighBits: zeros.high,
    zeroWords,
    scaleWords,
    metaWords: zeroWords + scaleWords + 1,
  };
}

function planes(bits: 2 | 3 | 4): { readonly low: 2 | 4; readonly high: 0 | 1 } {
  return bits === 3 ? { low: 2, high: 1 } : { low: bits, high: 0 };
}

/** Words of the meta of a panel, scaleGroupSize rows over `groups` column groups: records, then high zero bits. */
export function panelMetaWords(scheme: BilevelScheme, groups: number): number {
  const { metaWords, zeroHighBits } = bilevelLayout(scheme);
  return groups * metaWords + Math.ceil((groups * scheme.scaleGroupSize * zeroHighBits) / 32);
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
  if (scheme.kind === 'symmetric' && groupSize % 32 !== 0) {
    throw new SpeedqError(
      'invalid-scheme',
      `${tensor}: symmetric groups must be multiples of 32, got ${groupSize}.`,
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

/** Stored bits per weight, scales and zero points included; what rounds a panel up to words left out. */
export function bitsPerWeight(scheme: Scheme): number {
  if (scheme.kind === 'float') return scheme.dtype === 'f16' ? 16 : 32;
  if (scheme.kind === 'symmetric') return scheme.bits + 16 / scheme.groupSize;
  const { bits, groupSize, scaleGroupSize, zero } = scheme;
  const zeroBits = zero === 'minimum' ? 4 : bits;
  return bits + zeroBits / groupSize + 4 / groupSize + 32 / (groupSize * scaleGroupSize);
}

/** Exact bytes of a stored tensor, by the formulas of docs/format.md. */
export function packedBytes(scheme: Scheme, shape: readonly number[], tensor = 'tensor'): number {
  checkScheme(scheme, shape, tensor);
  const elements = shape.reduce((product, size) => product * size, 1);
  if (scheme.kind === 'float') return elements * (scheme.dtype === 'f16' ? 2 : 4);
  const { groupSize, bits } = scheme;
  const codes = (elements * bits) / 8;
  if (scheme.kind === 'symmetric') return codes + (elements / groupSize) * 2;
  const [rows, columns] = shape;
  return codes + (rows / scheme.scaleGroupSize) * panelMetaWords(scheme, columns / groupSize) * 4;
}
