import { SpeedqError, bilevelLayout, panelMetaWords, symmetricCentre } from '@speedq/format';
import type { BilevelLayout, BilevelScheme, FloatScheme, Scheme, SymmetricScheme } from '@speedq/format';
import type { Binding } from '../../engine/program.ts';
import { float, vectors, wordPairs, wordVectors, words } from '../../engine/program.ts';
import type { IntegerCode } from './integer-code.ts';
import { SPREAD_HIGH, UNIT_STRUCT, integerBytes, integerLayout } from './integer-code.ts';
import type { UnitWords } from './unit-words.ts';
import { fields, placedCodes, unitCodes } from './unit-words.ts';
import { HALF_PAIR } from './wgsl.ts';

/** Programs read weights in units of 16 consecutive columns of a row: no group is narrower. */
export const UNIT = 16;

/** WGSL that reads a stored matrix part [rows, columns]. */
export interface WeightCode {
  readonly bindings: Readonly<Record<'codes' | 'meta_words', Binding | undefined>>;
  /** Neighbouring threads read memory in order when they take neighbouring rows, else neighbouring units. */
  readonly order: 'rows' | 'units';
  /**
   * Defines, for existing rows, `fn weights(row: u32, unit: u32) -> array<vec4<f32>, 4>`, the weights of a
   * unit, zero beyond the last column; and `fn dot_rows(row0: u32, unit: u32, x0…x3: vec4<f32>) ->
   * vec4<f32>`, the products of rows row0…row0+3 (row0 a multiple of 4; rows beyond the last may repeat it).
   */
  readonly functions: string;
  /** For formats whose codes can be multiplied as they are. */
  readonly integer?: IntegerCode;
}

/** @throws SpeedqError 'unsupported' for what the kernels cannot read. */
export function weightCode(scheme: Scheme, rows: number, columns: number): WeightCode {
  const constants = `const ROWS = ${rows}u;\nconst UNITS = ${Math.ceil(columns / UNIT)}u;\n`;
  if (columns % 4 !== 0 || (scheme.kind !== 'float' && columns % scheme.groupSize !== 0)) {
    throw new SpeedqError(
      'unsupported',
      `The WebGPU kernels read matrices whose input size is a multiple of ${scheme.kind === 'float' ? 4 : scheme.groupSize}, got ${columns}.`,
    );
  }
  const code = codeOf(scheme, columns);
  return { ...code, functions: constants + code.functions };
}

function codeOf(scheme: Scheme, columns: number): WeightCode {
  if (scheme.kind === 'float') return floatCode(scheme, columns);
  return scheme.kind === 'symmetric' ? symmetricCode(scheme, columns) : bilevelCode(scheme, columns);
}

/** dot_rows for formats that gain nothing from sharing work between rows. */
const DOT_BY_ROW = `
fn dot_row(row: u32, unit: u32, x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>) -> f32 {
  let w = weights(min(row, ROWS - 1u), unit);
  return dot(w[0], x0) + dot(w[1], x1) + dot(w[2], x2) + dot(w[3], x3);
}
fn dot_rows(row0: u32, unit: u32, x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>) -> vec4<f32> {
  return vec4(dot_row(row0, unit, x0, x1, x2, x3), dot_row(row0 + 1u, unit, x0, x1, x2, x3),
    dot_row(row0 + 2u, unit, x0, x1, x2, x3), dot_row(row0 + 3u, unit, x0, x1, x2, x3));
}`;

const PLACED_PARAMETERS = 'p0: vec4<f32>, p1: vec4<f32>, p2: vec4<f32>, p3: vec4<f32>';

/** Declares p0…p3: x0…x3 as the codes of a unit are multiplied with them, see placedCodes. */
function placedValues(unit: UnitWords): string {
  const powers = placedCodes(unit)?.powers;
  return [0, 1, 2, 3].map((i) => `let p${i} = x${i}${powers ? ` * ${powers[i]}` : ''};`).join(' ');
}

/** Σ code·x of a unit, from p0…p3. */
function unitProduct(unit: UnitWords): string {
  const values = placedCodes(unit)?.values ?? unitCodes(unit);
  return values.map((codes, i) => `dot(${codes}, p${i})`).join(' + ');
}

function floatCode({ dtype }: FloatScheme, columns: number): WeightCode {
  const half = dtype === 'f16';
  const quads = columns / 4;
  // Flushed subnormals of a weight (below 6e-5) do not show; those of a scale would, see half_pair.
  const read = half
    ? 'vec4(unpack2x16float(codes[at * 2u]), unpack2x16float(codes[at * 2u + 1u]))'
    : 'codes[at]';
  return {
    bindings: { codes: half ? words('read') : vectors('read'), meta_words: undefined },
    order: 'units',
    functions: `
const QUADS = ${quads}u;
fn quad(row: u32, index: u32) -> vec4<f32> {
  if (index >= QUADS) { return vec4<f32>(); }
  let at = row * QUADS + index;
  return ${read};
}
fn weights(row: u32, unit: u32) -> array<vec4<f32>, 4> {
  let i = unit * 4u;
  return array(quad(row, i), quad(row, i + 1u), quad(row, i + 2u), quad(row, i + 3u));
}
${DOT_BY_ROW}`,
  };
}

function symmetricCode(scheme: SymmetricScheme, columns: number): WeightCode {
  const { bits, groupSize } = scheme;
  // Three words hold 32 columns at 3 bits.
  const unit: UnitWords =
    bits === 3
      ? { words: ['codes[at + unit % 2u]'], high: '(codes[at + 2u] >> (unit % 2u * 16u))' }
      : { words: bits === 2 ? ['codes[at]'] : ['pair.x', 'pair.y'] };
  const at = bits === 3 ? '(row * UNITS + unit) / 2u * 3u' : 'row * UNITS + unit';
  const locate = `let at = ${at};
  ${bits === 4 ? 'let pair = codes[at];' : ''}
  let group = row * GROUPS + unit / ${groupSize / UNIT}u;
  let s = half_pair(meta_words[group / 2u])[group % 2u];`;
  const centre = float(symmetricCentre(scheme));
  const values = unitCodes(unit).map((codes) => `s * (${codes} - ${centre})`);
  return {
    bindings: { codes: bits === 4 ? wordPairs('read') : words('read'), meta_words: words('read') },
    order: 'units',
    functions: `
${HALF_PAIR}
const GROUPS = ${columns / groupSize}u;
fn weights(row: u32, unit: u32) -> array<vec4<f32>, 4> {
  ${locate}
  return array(${values.join(',\n    ')});
}
fn dot_row(row: u32, unit: u32, ${PLACED_PARAMETERS}, middle: f32) -> f32 {
  ${locate}
  return s * (${unitProduct(unit)} - middle);
}
fn dot_rows(row0: u32, unit: u32, x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>) -> vec4<f32> {
  let middle = dot(x0 + x1 + x2 + x3, vec4(${centre}));
  ${placedValues(unit)}
  return vec4(${[0, 1, 2, 3].map((row) => `dot_row(min(row0 + ${row}u, ROWS - 1u), unit, p0, p1, p2, p3, middle)`).join(', ')});
}`,
    integer: {
      layout: integerLayout(unit),
      functions: `
${UNIT_STRUCT}
${SPREAD_HIGH}
fn integer_weights(row: u32, unit: u32) -> Unit {
  ${locate}
  return Unit(vec4(${integerBytes(unit).join(', ')}), vec2(s, s * ${centre}));
}
fn integer_row(row: u32, unit: u32, x: vec4<u32>, level: vec2<f32>) -> f32 {
  let w = integer_weights(min(row, ROWS - 1u), unit);
  let sum = dot4I8Packed(w.codes.x, x.x) + dot4I8Packed(w.codes.y, x.y) + dot4I8Packed(w.codes.z, x.z)
    + dot4I8Packed(w.codes.w, x.w);
  return w.level.x * level.x * f32(sum) - w.level.y * level.y;
}
fn integer_rows(row0: u32, unit: u32, x: vec4<u32>, level: vec2<f32>) -> vec4<f32> {
  return vec4(integer_row(row0, unit, x, level), integer_row(row0 + 1u, unit, x, level),
    integer_row(row0 + 2u, unit, x, level), integer_row(row0 + 3u, unit, x, level));
}`,
    },
  };
}

function bilevelCode(scheme: BilevelScheme, columns: number): WeightCode {
  const { groupSize, scaleGroupSize: panel } = scheme;
  if (groupSize % UNIT !== 0 || panel % 8 !== 0) {
    throw new SpeedqError(
      'unsupported',
      `The WebGPU kernels read codes in groups of a multiple of 16 columns and panels of a multiple of 8 rows, ` +
        `got groupSize ${groupSize}, scaleGroupSize ${panel}.`,
    );
  }
  const layout = bilevelLayout(scheme);
  const groups = columns / groupSize;
  const groupUnits = groupSize / UNIT;
  // One vec4 holds four rows' codes, or all that four rows share, in the smallest schemes.
  const byFour = groupUnits === 1 && layout.lowBits === 2;
  const recordByFour = layout.metaWords === 4 && layout.zeroHighBits === 0;
  const code = (index: string) => (byFour ? `codes[(${index}) / 4u][(${index}) % 4u]` : `codes[${index}]`);
  const meta = (index: string) =>
    recordByFour ? `meta_words[record][${index}]` : `meta_words[record + ${index}]`;

  /** Where unit `at`, counted within the block, has its codes. */
  const unitAt = (at: string): UnitWords => {
    const perUnit = layout.lowBits / 2;
    const words = Array.from({ length: perUnit }, (_, i) =>
      code(`block * ${layout.codeWords}u + ${at} * ${perUnit}u + ${i}u`),
    );
    if (layout.highBits === 0) return { words };
    const high = code(`block * ${layout.codeWords}u + ${layout.lowWords}u + ${at} / 2u`);
    return { words, high: `(${high} >> (${at} % 2u * 16u))` };
  };
  const { metaWords } = layout;
  const record = recordByFour
    ? 'block'
    : layout.zeroHighBits === 0
      ? `block * ${metaWords}u`
      : `block / GROUPS * ${panelMetaWords(scheme, groups)}u + block % GROUPS * ${metaWords}u`;
  const own = unitAt('at');
  const loaded: UnitWords = { words: own.words.map((_, i) => `word${i}`), high: own.high && 'high' };
  const loads = [
    ...own.words.map((word, i) => `let word${i} = ${word};`),
    own.high && `let high = ${own.high};`,
  ]
    .filter(Boolean)
    .join(' ');
  // Unrolled: software adapters spend most of their time on arrays indexed by a variable.
  const rowWords = (row: number): UnitWords => {
    if (!byFour) return unitAt(`(at + ${row * groupUnits}u)`);
    const high = layout.highBits > 0 ? `(high[${row >> 1}] >> ${(row % 2) * 16}u)` : undefined;
    return { words: [`four[${row}]`], high };
  };
  const highWord = (row: number) =>
    code(`block * ${layout.codeWords}u + ${layout.lowWords}u + lane / 2u + ${row}u`);
  const loadFour = `let four = codes[(block * ${layout.codeWords}u + lane) / 4u];
  ${layout.highBits > 0 ? `let high = vec2(${highWord(0)}, ${highWord(1)});` : ''}`;
  const rowProducts = [0, 1, 2, 3].map((row) => unitProduct(rowWords(row)));
  const integerProduct = (row: number) =>
    integerBytes(rowWords(row))
      .map((bytes, i) => `dot4I8Packed(${bytes}, x[${i}])`)
      .join(' + ');
  const locate = `let lane = row % PANEL;
  let block = (row / PANEL) * GROUPS + unit / GROUP_UNITS;
  let at = lane * GROUP_UNITS + unit % GROUP_UNITS;
  let z = zeros4(block, lane & ~3u)[lane & 3u];
  let s = scales4(block, lane & ~3u)[lane & 3u];
  ${loads}`;
  const locateFour = `let lane = row0 % PANEL;
  let block = (row0 / PANEL) * GROUPS + unit / GROUP_UNITS;
  ${byFour ? loadFour : 'let at = lane * GROUP_UNITS + unit % GROUP_UNITS;'}
  let s = scales4(block, lane);
  let z = zeros4(block, lane);`;
  const { value, product, offset, scales, zeros } = levels(scheme, layout, groups, meta);
  return {
    bindings: {
      codes: byFour ? wordVectors('read') : words('read'),
      meta_words: recordByFour ? wordVectors('read') : words('read'),
    },
    order: 'rows',
    functions: `
${HALF_PAIR}
const GROUPS = ${groups}u;
const GROUP_UNITS = ${groupUnits}u;
const PANEL = ${panel}u;

fn record_of(block: u32) -> u32 {
  return ${record};
}

/** Scales of the four rows from \`lane\` on, and where their codes begin. */
fn scales4(block: u32, lane: u32) -> vec4<f32> {
  let record = record_of(block);
  let word = ${meta(`${layout.zeroWords}u + lane / 8u`)} >> ((lane % 8u) * 4u);
  let level = half_pair(${meta(`${layout.metaWords - 1}u`)});
  return ${scales('word')};
}
fn zeros4(block: u32, lane: u32) -> vec4<f32> {
  let record = record_of(block);
  let bit = lane * ${layout.zeroLowBits}u;
  let word = ${meta('bit / 32u')} >> (bit % 32u);
  ${zeros('word')}
}

fn weights(row: u32, unit: u32) -> array<vec4<f32>, 4> {
  ${locate}
  return array(${unitCodes(loaded).map(value).join(',\n    ')});
}

fn dot_rows(row0: u32, unit: u32, x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>) -> vec4<f32> {
  ${locateFour}
  let total = dot(x0 + x1 + x2 + x3, vec4(1.0f));
  ${placedValues(own)}
  let products = vec4(${rowProducts.join(',\n    ')});
  return ${product};
}`,
    integer: {
      layout: integerLayout(own),
      functions: `
${UNIT_STRUCT}
${SPREAD_HIGH}
fn integer_weights(row: u32, unit: u32) -> Unit {
  ${locate}
  return Unit(vec4(${integerBytes(loaded).join(', ')}), vec2(s, ${offset}));
}
fn integer_rows(row0: u32, unit: u32, x: vec4<u32>, level: vec2<f32>) -> vec4<f32> {
  ${locateFour}
  let total = level.y;
  let products = level.x * vec4<f32>(vec4(${[0, 1, 2, 3].map(integerProduct).join(',\n    ')}));
  return ${product};
}`,
    },
  };
}

/** What the two kinds of zero make of codes, as WGSL. */
interface Levels {
  /** Weight of `codes`, under scale s and zero z. */
  readonly value: (codes: string) => string;
  /** Products of four rows from `products` = Σq·x and `total` = Σx: the zero leaves the sum. */
  readonly product: string;
  /** What is taken from s·code to give the weight. */
  readonly offset: string;
  /** Scales from a word of their codes and `level`, the block's two fp16 values. */
  readonly scales: (word: string) => string;
  /** Statements that return zeros from a word of their low bits. */
  readonly zeros: (word: string) => string;
}

function levels(
  { scaleGroupSize, zero }: BilevelScheme,
  { metaWords, zeroLowBits, zeroHighBits }: BilevelLayout,
  groups: number,
  meta: (index: string) => string,
): Levels {
  if (zero === 'minimum') {
    return {
      value: (codes) => `s * ${codes} - z`,
      product: 's * products - z * total',
      offset: 'z',
      scales: (word) => `vec4<f32>(${fields(word, 4, 0)}) * level.x`,
      zeros: (word) => `return vec4<f32>(${fields(word, 4, 0)}) * half_pair(${meta(`${metaWords - 1}u`)}).y;`,
    };
  }
  const low = (word: string) => fields(word, zeroLowBits, 0);
  return {
    value: (codes) => `s * (${codes} - z)`,
    product: 's * (products - z * total)',
    offset: 's * z',
    scales: (word) => `vec4<f32>(${fields(word, 4, 0)}) * level.x + level.y`,
    zeros: (word) =>
      zeroHighBits === 0
        ? `return vec4<f32>(${low(word)});`
        : `let high_bit = block % GROUPS * ${scaleGroupSize}u + lane;
  let tail = record - block % GROUPS * ${metaWords}u + ${groups * metaWords}u;
  let high = meta_words[tail + high_bit / 32u] >> (high_bit % 32u);
  return vec4<f32>(${low(word)} | (${fields('high', 1, 0)} << vec4(2u)));`,
  };
}
