import { SpeedqError } from '@speedq/format';
import type { BilevelScheme, FloatScheme, Scheme } from '@speedq/format';
import type { Binding } from '../../engine/program.ts';
import { vectors, wordVectors, words } from '../../engine/program.ts';
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
  return scheme.kind === 'symmetric' ? symmetricCode(columns) : bilevelCode(scheme, columns);
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

/** `vec4<f32>` of four consecutive codes of `word`, from bit `shift` on. */
function fields(word: string, bits: number, shift: number): string {
  const shifts = [0, 1, 2, 3].map((i) => `${shift + i * bits}u`).join(', ');
  return `vec4<f32>((vec4(${word}) >> vec4(${shifts})) & vec4(${2 ** bits - 1}u))`;
}

/** The four vec4 of a unit: 2-bit codes fill one word, 4-bit codes two. */
function unitFields(wordNames: readonly string[], bits: number): string[] {
  return bits === 2
    ? [0, 1, 2, 3].map((i) => fields(wordNames[0], 2, i * 8))
    : [0, 1, 2, 3].map((i) => fields(wordNames[i >> 1], 4, (i & 1) * 16));
}

function symmetricCode(columns: number): WeightCode {
  const q = unitFields(['codes[at]', 'codes[at + 1u]'], 4).map((vector) => `s * (${vector} - 7.0f)`);
  return {
    bindings: { codes: words('read'), meta_words: words('read') },
    order: 'units',
    functions: `
${HALF_PAIR}
const GROUPS = ${columns / 32}u;
fn weights(row: u32, unit: u32) -> array<vec4<f32>, 4> {
  let at = (row * UNITS + unit) * 2u;
  let group = row * GROUPS + unit / 2u;
  let s = half_pair(meta_words[group / 2u])[group % 2u];
  return array(${q.join(',\n    ')});
}
${DOT_BY_ROW}`,
  };
}

function bilevelCode(scheme: BilevelScheme, columns: number): WeightCode {
  const { bits, groupSize, scaleGroupSize: panel } = scheme;
  if (bits === 3 || groupSize % UNIT !== 0 || (panel * bits) % 32 !== 0 || panel % 8 !== 0) {
    throw new SpeedqError(
      'unsupported',
      `The WebGPU kernels read 2- and 4-bit codes in groups of a multiple of 16 columns, got ${bits} bits, ` +
        `groupSize ${groupSize}, scaleGroupSize ${panel}.`,
    );
  }
  const unitWords = bits / 2;
  const rowWords = (groupSize * bits) / 32;
  const zeroWords = (panel * bits) / 32;
  const scaleWords = (panel * 4) / 32;
  const metaWords = zeroWords + scaleWords + 1;
  // One vec4 holds four rows' codes, or all that four rows share, in the smallest scheme.
  const codesByFour = rowWords === 1;
  const metaByFour = metaWords === 4;
  const meta = (index: string) =>
    metaByFour ? `meta_words[block][${index}]` : `meta_words[block * ${metaWords}u + ${index}]`;
  const wordNames = Array.from({ length: unitWords }, (_, i) => `word${i}`);
  const loadWords = codesByFour
    ? 'let word0 = codes[at / 4u][at % 4u];'
    : wordNames
        .map((name, i) => `let ${name} = codes[at * ${rowWords}u + part * ${unitWords}u + ${i}u];`)
        .join(' ');
  const vectorsOfUnit = unitFields(wordNames, bits);
  // Unrolled: software adapters spend most of their time on arrays indexed by a variable.
  const rowProduct = (row: number) => {
    const rowWordNames = wordNames.map((_, i) =>
      codesByFour ? `four[${row}]` : `codes[(at + ${row}u) * ${rowWords}u + part * ${unitWords}u + ${i}u]`,
    );
    return unitFields(rowWordNames, bits)
      .map((vector, i) => `dot(${vector}, x${i})`)
      .join(' + ');
  };
  return {
    bindings: {
      codes: codesByFour ? wordVectors('read') : words('read'),
      meta_words: metaByFour ? wordVectors('read') : words('read'),
    },
    order: 'rows',
    functions: `
${HALF_PAIR}
const GROUPS = ${columns / groupSize}u;
const GROUP_UNITS = ${groupSize / UNIT}u;
const PANEL = ${panel}u;

/** Zero points of the four rows from \`lane\` on. */
fn zeros4(block: u32, lane: u32) -> vec4<f32> {
  let bit = lane * ${bits}u;
  let word = ${meta('bit / 32u')} >> (bit % 32u);
  return ${fields('word', bits, 0)};
}

fn scales4(block: u32, lane: u32) -> vec4<f32> {
  let word = ${meta(`${zeroWords}u + lane / 8u`)} >> ((lane % 8u) * 4u);
  let level = half_pair(${meta(`${metaWords - 1}u`)});
  return ${fields('word', 4, 0)} * level.x + level.y;
}

fn weights(row: u32, unit: u32) -> array<vec4<f32>, 4> {
  let lane = row % PANEL;
  let block = (row / PANEL) * GROUPS + unit / GROUP_UNITS;
  let part = unit % GROUP_UNITS;
  let at = block * PANEL + lane;
  ${loadWords}
  let z = zeros4(block, lane & ~3u)[lane & 3u];
  let s = scales4(block, lane & ~3u)[lane & 3u];
  return array(${vectorsOfUnit.map((vector) => `s * (${vector} - z)`).join(',\n    ')});
}

/** The zero point leaves the product: s·Σ(q - z)·x = s·(Σq·x - z·Σx). */
fn dot_rows(row0: u32, unit: u32, x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>) -> vec4<f32> {
  let lane = row0 % PANEL;
  let block = (row0 / PANEL) * GROUPS + unit / GROUP_UNITS;
  let part = unit % GROUP_UNITS;
  let total = dot(x0 + x1 + x2 + x3, vec4(1.0f));
  ${codesByFour ? 'let four = codes[(block * PANEL + lane) / 4u];' : 'let at = block * PANEL + lane;'}
  let products = vec4(${[0, 1, 2, 3].map(rowProduct).join(',\n    ')});
  return scales4(block, lane) * (products - zeros4(block, lane) * total);
}`,
  };
}
