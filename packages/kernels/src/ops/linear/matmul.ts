import type { Program } from '../../engine/program.ts';
import { floats, params, program, vectors } from '../../engine/program.ts';
import { rowsExpression } from '../../engine/recorder.ts';
import { epilogueBindings, epilogueCode } from './epilogue.ts';
import { integerTiles } from './matmul-integer.ts';
import type { TileCode, TileOptions } from './matmul-tiles.ts';
import { floatTiles } from './matmul-tiles.ts';
import type { MatmulVariant } from './matmul-variants.ts';
import type { LinearOptions } from './options.ts';
import { weightCode } from './weight-code.ts';

/** Neighbouring features that neighbouring threads take; each thread takes as many again, this far apart. */
const COLUMNS = 16;

/** Whether the variant can compute this: integer tiles need codes. */
export function matmulSuits({ tiles }: MatmulVariant, { scheme, columns, part }: LinearOptions): boolean {
  return tiles !== 'integer' || weightCode(scheme, part.bufferRows, columns).integer !== undefined;
}

/**
 * Many rows of x. Per step, a tile of x and a tile of weights, decoded once, go to workgroup memory; each thread
 * sums its outputs from there. Sums are named, not an array: software adapters are slow at arrays indexed by a
 * variable.
 */
export function matmulProgram(options: LinearOptions, variant: MatmulVariant): Program {
  const { scheme, rows, columns, features, part, epilogue } = options;
  const { tileRows, tileFeatures, threads, stepUnits, tiles } = variant;
  const weights = weightCode(scheme, part.bufferRows, columns);
  const lines = threads / COLUMNS;
  const range = (count: number) => Array.from({ length: count }, (_, i) => i);
  const tileOptions: TileOptions = {
    variant,
    weights,
    columns,
    firstRow: part.first,
    rowsOfThread: range(tileRows / lines).map((i) => `line + ${i * lines}u`),
    featuresOfThread: range(tileFeatures / COLUMNS).map((j) => `column + ${j * COLUMNS}u`),
  };
  const code: TileCode = tiles === 'integer' ? integerTiles(tileOptions) : floatTiles(tileOptions);
  const { rowsOfThread, featuresOfThread } = tileOptions;
  const sumType = `vec${featuresOfThread.length}<f32>`;
  return program(
    `matmul ${scheme.kind}`,
    { params, x: vectors('read'), ...weights.bindings, ...epilogueBindings(epilogue), y: floats('write') },
    `
const FEATURES = ${features}u;
const PART_ROWS = ${part.rows}u;
const QUADS_OF_X = ${columns / 4}u;
${weights.functions}
${epilogueCode(epilogue)}
${code.declarations}

fn finish_row(row: u32, count: u32, feature: u32, sums: ${sumType}) {
  if (row >= count) { return; }
  ${featuresOfThread
    .map((_, j) => {
      const at = `feature + ${j * COLUMNS}u`;
      return `if (${at} < PART_ROWS) { finish(row, ${part.offset}u + ${at}, sums[${j}]); }`;
    })
    .join('\n  ')}
}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let count = ${rowsExpression(rows)};
  let first_feature = wid.x * ${tileFeatures}u;
  let first_row = wid.y * ${tileRows}u;
  let column = lid % ${COLUMNS}u;
  let line = lid / ${COLUMNS}u;
  ${rowsOfThread.map((_, i) => `var sums${i} = ${sumType}();`).join(' ')}
  for (var unit0 = 0u; unit0 < UNITS; unit0 += ${stepUnits}u) {
    ${code.load}
    workgroupBarrier();
    ${code.multiply}
    workgroupBarrier();
  }
  ${rowsOfThread.map((row, i) => `finish_row(first_row + ${row}, count, first_feature + column, sums${i});`).join('\n  ')}
}`,
    tiles === 'f16' ? ['shader-f16'] : tiles === 'integer' ? ['packed_4x8_integer_dot_product'] : [],
  );
}
