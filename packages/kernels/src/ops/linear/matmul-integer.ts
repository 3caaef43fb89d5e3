import type { TileCode, TileOptions } from './matmul-tiles.ts';
import { tileUnit } from './matmul-tiles.ts';
import { quantizeCode } from './quantize-code.ts';

/**
 * Tiles of codes: x is rounded to bytes as it is loaded, weights stay codes. A unit of 16 columns of a row and a
 * feature is four integer products and one step in f32: scale_w · scale_x · Σ codes - offset_w · scale_x · Σ x.
 */
export function integerTiles(options: TileOptions): TileCode {
  const { variant, weights, columns, firstRow, rowsOfThread, featuresOfThread } = options;
  const { tileRows, tileFeatures, threads, stepUnits } = variant;
  const integer = weights.integer!;
  const [row, unit] = tileUnit(options);
  const isWhole = columns % 16 === 0;
  const read = (i: number) => {
    const value = `x[(first_row + r) * QUADS_OF_X + at + ${i}u]`;
    return isWhole ? value : `select(vec4<f32>(), ${value}, at + ${i}u < QUADS_OF_X)`;
  };
  const dots = (i: number, j: number) =>
    ['x', 'y', 'z', 'w'].map((word) => `dot4I8Packed(a${i}.${word}, w${j}.${word})`).join(' + ');
  return {
    declarations: `${integer.functions}
${quantizeCode(integer)}
// by unit, then row: threads that differ in row read neighbours
var<workgroup> x_codes: array<vec4<u32>, ${tileRows * stepUnits}>;
var<workgroup> x_levels: array<vec2<f32>, ${tileRows * stepUnits}>;
var<workgroup> w_codes: array<vec4<u32>, ${tileFeatures * stepUnits}>;
var<workgroup> w_levels: array<vec2<f32>, ${tileFeatures * stepUnits}>;`,
    load: `for (var i = lid; i < ${tileRows * stepUnits}u; i += ${threads}u) {
      let r = i / ${stepUnits}u;
      let unit = i % ${stepUnits}u;
      let at = (unit0 + unit) * 4u;
      var q = Quantized();
      if (first_row + r < count && unit0 + unit < UNITS) { q = quantize(${[0, 1, 2, 3].map(read).join(', ')}); }
      x_codes[unit * ${tileRows}u + r] = q.codes;
      x_levels[unit * ${tileRows}u + r] = q.level;
    }
    for (var i = lid; i < ${tileFeatures * stepUnits}u; i += ${threads}u) {
      let row = ${row};
      let unit = ${unit};
      var w = Unit();
      if (first_feature + row < PART_ROWS && unit0 + unit < UNITS) { w = integer_weights(${firstRow}u + first_feature + row, unit0 + unit); }
      w_codes[unit * ${tileFeatures}u + row] = w.codes;
      w_levels[unit * ${tileFeatures}u + row] = w.level;
    }`,
    multiply: `for (var unit = 0u; unit < ${stepUnits}u; unit++) {
      ${featuresOfThread
        .map((feature, j) => {
          const at = `unit * ${tileFeatures}u + ${feature}`;
          return `let w${j} = w_codes[${at}]; let level${j} = w_levels[${at}];`;
        })
        .join('\n      ')}
      let scales = vec${featuresOfThread.length}(${featuresOfThread.map((_, j) => `level${j}.x`).join(', ')});
      let offsets = vec${featuresOfThread.length}(${featuresOfThread.map((_, j) => `level${j}.y`).join(', ')});
      ${rowsOfThread
        .map((line, i) => {
          const at = `unit * ${tileRows}u + ${line}`;
          const products = featuresOfThread.map((_, j) => dots(i, j)).join(',\n        ');
          return `let a${i} = x_codes[${at}]; let x_level${i} = x_levels[${at}];
      sums${i} += scales * x_level${i}.x * vec${featuresOfThread.length}<f32>(vec${featuresOfThread.length}(
        ${products})) - offsets * x_level${i}.y;`;
        })
        .join('\n      ')}
    }`,
  };
}
