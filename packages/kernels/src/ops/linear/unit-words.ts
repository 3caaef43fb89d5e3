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
