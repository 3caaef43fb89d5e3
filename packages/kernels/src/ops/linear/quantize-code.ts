import type { IntegerCode } from './integer-code.ts';

/**
 * `fn quantize(v0…v3: vec4<f32>) -> Quantized`: the 16 values of a unit as bytes in the layout of the weights'
 * codes, and (scale, scale · sum of the bytes). All-zero units get scale 0.
 */
export function quantizeCode({ layout }: IntegerCode): string {
  const bytes = layout.map(
    (word) => `pack4xI8(vec4<i32>(${word.map(([quad, i]) => `q${quad}[${i}]`).join(', ')}))`,
  );
  return `
struct Quantized { codes: vec4<u32>, level: vec2<f32> }
fn quantize(v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> Quantized {
  let top4 = max(max(abs(v0), abs(v1)), max(abs(v2), abs(v3)));
  let top = max(max(top4.x, top4.y), max(top4.z, top4.w));
  let inverse = select(0.0f, 127.0f / top, top > 0.0f);
  let q0 = vec4<i32>(round(v0 * inverse));
  let q1 = vec4<i32>(round(v1 * inverse));
  let q2 = vec4<i32>(round(v2 * inverse));
  let q3 = vec4<i32>(round(v3 * inverse));
  let sum = q0 + q1 + q2 + q3;
  let scale = top / 127.0f;
  return Quantized(
    vec4(${bytes.join(',\n      ')}),
    vec2(scale, scale * f32(sum.x + sum.y + sum.z + sum.w)),
  );
}`;
}
