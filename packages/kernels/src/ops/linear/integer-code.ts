import type { UnitWords } from './unit-words.ts';

/** Weights as small integers: w = level.x · code - level.y for each row and unit. */
export interface IntegerCode {
  /**
   * How the 16 values of a unit are laid out as bytes, so that they meet their codes: for each byte of four words
   * the index of the value's vec4, and in it.
   */
  readonly layout: readonly (readonly (readonly [quad: number, component: number])[])[];
  /**
   * Defines `struct Unit { codes: vec4<u32>, level: vec2<f32> }`; `fn integer_weights(row: u32, unit: u32) ->
   * Unit`; and `fn integer_rows(row0: u32, unit: u32, x: vec4<u32>, level: vec2<f32>) -> vec4<f32>`, dot_rows
   * where the unit of x is level.x · its bytes, and level.y their sum times level.x. Rows as for
   * WeightCode.functions, which come before.
   */
  readonly functions: string;
}

export const UNIT_STRUCT = 'struct Unit { codes: vec4<u32>, level: vec2<f32> }';

/** Bits 0, 4, 8 and 12 to the value 4 of each byte. */
export const SPREAD_HIGH = `fn spread_high(bits: u32) -> u32 {
  return ((bits & 0x1u) << 2u) | ((bits & 0x10u) << 6u) | ((bits & 0x100u) << 10u) | ((bits & 0x1000u) << 14u);
}`;

const FOUR = [0, 1, 2, 3] as const;

/** 2-bit fields: a word of bytes each four codes apart; 4-bit fields: two words of even and two of odd codes. */
export function integerLayout({ words }: UnitWords): IntegerCode['layout'] {
  return FOUR.map((word) =>
    FOUR.map((byte) => {
      const index = words.length === 1 ? word + 4 * byte : (word >> 1) * 8 + (word & 1) + 2 * byte;
      return [index >> 2, index & 3] as const;
    }),
  );
}

/** A unit's codes as four words of bytes in that layout. */
export function integerBytes({ words, high }: UnitWords): string[] {
  return FOUR.map((i) => {
    if (words.length === 2) return `((${words[i >> 1]} >> ${(i & 1) * 4}u) & 0x0f0f0f0fu)`;
    const low = `((${words[0]} >> ${i * 2}u) & 0x03030303u)`;
    return high === undefined ? low : `(${low} | spread_high(${high} >> ${i}u))`;
  });
}
