import type { Access, Binding } from '../../engine/program.ts';
import { vectors, wordPairs, words } from '../../engine/program.ts';

/**
 * How keys and values are kept: 'f16' by the packing functions that every device has, 'q8' as 8-bit codes with one
 * scale for each head of a token. A row is a token's: f32 and f16 [keyValueHeads, headDim]; q8 the codes
 * [keyValueHeads, headDim], four to a word, then the scales, f32 [keyValueHeads].
 */
export type KeyValueFormat = 'f32' | 'f16' | 'q8';

export const KEY_VALUE_FORMATS: readonly KeyValueFormat[] = ['f32', 'f16', 'q8'];

export interface CacheShape {
  readonly keyValueHeads: number;
  /** A multiple of 4. */
  readonly headDim: number;
}

/** Words of 32 bits that the keys of one token take, and its values again. */
export function cacheRowWords(format: KeyValueFormat, { keyValueHeads, headDim }: CacheShape): number {
  const features = keyValueHeads * headDim;
  return { f32: features, f16: features / 2, q8: features / 4 + keyValueHeads }[format];
}

export function cacheBinding(format: KeyValueFormat, access: Access): Binding {
  return { f32: vectors(access), f16: wordPairs(access), q8: words(access) }[format];
}

/**
 * Functions over a cache bound as `name`: `fn NAME_at(row: u32, head: u32, quad: u32) -> vec4<f32>`, four features
 * to be multiplied by `fn NAME_scale(row: u32, head: u32) -> f32`.
 */
export function cacheReader(format: KeyValueFormat, shape: CacheShape, name: string): string {
  const quads = shape.headDim / 4;
  const at = `(row * ${shape.keyValueHeads}u + head) * ${quads}u + quad`;
  const one = `fn ${name}_scale(row: u32, head: u32) -> f32 { return 1.0f; }`;
  const words = cacheRowWords(format, shape);
  return {
    f32: `fn ${name}_at(row: u32, head: u32, quad: u32) -> vec4<f32> { return ${name}[${at}]; }
${one}`,
    f16: `fn ${name}_at(row: u32, head: u32, quad: u32) -> vec4<f32> {
  let pairs = ${name}[${at}];
  return vec4(unpack2x16float(pairs.x), unpack2x16float(pairs.y));
}
${one}`,
    q8: `fn ${name}_at(row: u32, head: u32, quad: u32) -> vec4<f32> {
  return unpack4x8snorm(${name}[row * ${words}u + head * ${quads}u + quad]);
}
fn ${name}_scale(row: u32, head: u32) -> f32 {
  return bitcast<f32>(${name}[row * ${words}u + ${shape.keyValueHeads * quads}u + head]);
}`,
  }[format];
}

/**
 * `fn put_NAME(row: u32, head: u32, quad: u32, value: vec4<f32>, top: f32)`: writes four features, `top` being the
 * largest magnitude of the head's, which only q8 looks at.
 */
export function cacheWriter(format: KeyValueFormat, shape: CacheShape, name: string): string {
  const quads = shape.headDim / 4;
  const at = `(row * ${shape.keyValueHeads}u + head) * ${quads}u + quad`;
  const words = cacheRowWords(format, shape);
  const body = {
    f32: `${name}[${at}] = value;`,
    // clamped: what becomes of values beyond its range is left open
    f16: `let v = clamp(value, vec4(-65504.0f), vec4(65504.0f));
  ${name}[${at}] = vec2(pack2x16float(v.xy), pack2x16float(v.zw));`,
    q8: `${name}[row * ${words}u + head * ${quads}u + quad] = pack4x8snorm(value / max(top, 1e-30f));
  if (quad == 0u) { ${name}[row * ${words}u + ${shape.keyValueHeads * quads}u + head] = bitcast<u32>(top); }`,
  }[format];
  return `fn put_${name}(row: u32, head: u32, quad: u32, value: vec4<f32>, top: f32) {
  ${body}
}`;
}
