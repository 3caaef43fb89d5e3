import { float } from '../../engine/program.ts';

/** `vec4<u32>` of four consecutive fields of `word`, from bit `shift` on. */
export function fields(word: string, bits: number, shift: number): string {
  const shifts = [0, 1, 2, 3].map((i) => `${shift + i * bits}u`).join(', ');
  return `((vec4(${word}) >> vec4(${shifts})) & vec4(${2 ** bits - 1}u))`;
}

/** The codes of a unit: 2-bit codes fill one word, 4-bit codes two; 3-bit codes one and a half word of high bits. */
export interface UnitWords {
  readonly words: readonly string[];
  /** Holds the 16 high bits in its low half; what its high half holds does not matter. */
  readonly high?: string;
}

/** Codes as they lie in their word, and the powers of two to be multiplied by, which bring them to their values. */
export interface PlacedCodes {
  /** Four vec4<f32>. */
  readonly values: readonly string[];
  /** A vec4<f32> for each. */
  readonly powers: readonly string[];
}

/** 2^23: floats from here to 2^24 have the bits of an integer below 2^23 as their fraction. */
const FRACTION = 'vec4(0x4b000000u)';

/**
 * The codes of a unit without shifting each to the right and without conversions: masked and put into the fraction
 * of a float, code c at bit s is c·2^s, exactly. Products with x·2^-s are those of c with x. Undefined for
 * 3-bit codes, whose bits lie in two places.
 */
export function placedCodes({ words, high }: UnitWords): PlacedCodes | undefined {
  if (high !== undefined) return undefined;
  const bits = words.length === 2 ? 4 : 2;
  const values: string[] = [];
  const powers: string[] = [];
  for (const i of [0, 1, 2, 3]) {
    const bit = i * 4 * bits;
    const word = words[bit >> 5];
    // half a word at a time: a fraction has 23 bits
    const half = bit & 16 ? `(${word} >> 16u)` : word;
    const shifts = [0, 1, 2, 3].map((j) => (bit & 15) + j * bits);
    const masks = shifts.map((shift) => `${(2 ** bits - 1) << shift}u`).join(', ');
    values.push(`(bitcast<vec4<f32>>((vec4(${half}) & vec4(${masks})) | ${FRACTION}) - vec4(8388608.0f))`);
    powers.push(`vec4(${shifts.map((shift) => float(2 ** -shift)).join(', ')})`);
  }
  return { values, powers };
}

/** The four vec4<f32> of a unit's codes. */
export function unitCodes({ words, high }: UnitWords): string[] {
  return [0, 1, 2, 3].map((i) => {
    if (words.length === 2) return `vec4<f32>(${fields(words[i >> 1], 4, (i & 1) * 16)})`;
    const low = fields(words[0], 2, i * 8);
    if (high === undefined) return `vec4<f32>(${low})`;
    // bit n of the high bits comes to lie where the fields' value 4 is
    const shifts = [0, 1, 2, 3].map((j) => `${i * 4 + j}u`).join(', ');
    return `vec4<f32>(${low} | ((vec4(${high} << 2u) >> vec4(${shifts})) & vec4(4u)))`;
  });
}
