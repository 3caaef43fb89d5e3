import type { MatmulVariant } from './matmul-variants.ts';
import type { WeightCode } from './weight-code.ts';

export interface TileOptions {
  readonly variant: MatmulVariant;
  readonly weights: WeightCode;
  readonly columns: number;
  /** Row of the weights' buffers that feature 0 of the part is. */
  readonly firstRow: number;
  /** Within the tile, as WGSL of `line` and `column`. */
  readonly rowsOfThread: readonly string[];
  readonly featuresOfThread: readonly string[];
}

/** A matmul's step: `load` fills workgroup memory, `multiply` adds to sums0…, one vector for each row. */
export interface TileCode {
  readonly declarations: string;
  readonly load: string;
  readonly multiply: string;
}

/** How the threads of a load share the tile of weights: row and unit of the i-th, in the order of memory. */
export function tileUnit({ variant, weights }: TileOptions): readonly [row: string, unit: string] {
  const { tileFeatures, stepUnits } = variant;
  return weights.order === 'rows'
    ? [`i % ${tileFeatures}u`, `i / ${tileFeatures}u`]
    : [`i / ${stepUnits}u`, `i % ${stepUnits}u`];
}

/** Tiles of vec4 along the columns, rows padded by one vec4 against bank conflicts. */
export function floatTiles(options: TileOptions): TileCode {
  const { variant, firstRow, rowsOfThread, featuresOfThread } = options;
  const { tileRows, tileFeatures, threads, stepUnits, tiles } = variant;
  const [row, unit] = tileUnit(options);
  const quads = stepUnits * 4;
  const half = tiles === 'f16';
  // Beyond its range f16 has infinities, whose products with zeros would be no numbers.
  const narrow = (value: string) =>
    half ? `vec4<f16>(clamp(${value}, vec4(-65504.0f), vec4(65504.0f)))` : value;
  const widen = (value: string) => (half ? `vec4<f32>(${value})` : value);
  const element = `vec4<${tiles}>`;
  return {
    declarations: `
const PITCH = ${quads + 1}u;
var<workgroup> xs: array<${element}, ${tileRows}u * PITCH>;
var<workgroup> ws: array<${element}, ${tileFeatures}u * PITCH>;`,
    load: `for (var i = lid; i < ${tileRows * quads}u; i += ${threads}u) {
      let r = i / ${quads}u;
      let q = i % ${quads}u;
      let at = unit0 * 4u + q;
      // explicit, here and below: SwiftShader does not zero a declaration anew in each turn of a loop
      var v = vec4<f32>();
      if (first_row + r < count && at < QUADS_OF_X) { v = x[(first_row + r) * QUADS_OF_X + at]; }
      xs[r * PITCH + q] = ${narrow('v')};
    }
    for (var i = lid; i < ${tileFeatures * stepUnits}u; i += ${threads}u) {
      let row = ${row};
      let unit = ${unit};
      var w = array<vec4<f32>, 4>();
      if (first_feature + row < PART_ROWS && unit0 + unit < UNITS) { w = weights(${firstRow}u + first_feature + row, unit0 + unit); }
      let to = row * PITCH + unit * 4u;
      ${[0, 1, 2, 3].map((i) => `ws[to + ${i}u] = ${narrow(`w[${i}]`)};`).join('\n      ')}
    }`,
    multiply: `for (var q = 0u; q < ${quads}u; q++) {
      ${featuresOfThread.map((feature, j) => `let w${j} = ${widen(`ws[(${feature}) * PITCH + q]`)};`).join('\n      ')}
      ${rowsOfThread
        .map((line, i) => {
          const dots = featuresOfThread.map((_, j) => `dot(a${i}, w${j})`).join(', ');
          return `let a${i} = ${widen(`xs[(${line}) * PITCH + q]`)};\n      sums${i} += vec${featuresOfThread.length}(${dots});`;
        })
        .join('\n      ')}
    }`,
  };
}
