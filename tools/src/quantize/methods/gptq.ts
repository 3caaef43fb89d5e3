import { chooseBilevel, maxCode } from '@speedq/format';
import type { BilevelParameters, BilevelScheme, BilevelTensor } from '@speedq/format';
import { searchClipRange } from '../clip-search/search-clip-range.ts';
import { blockOf, diagonalBlocks, factorAndInverse } from './linear-algebra.ts';
import type { DoubleProducts } from './linear-algebra.ts';

/**
 * GPTQ (arXiv 2210.17323): column after column is rounded, and what that costs is made good in the columns that
 * are still free, by the inverse Hessian of the linear's squared output error. Arithmetic in float64; codes are
 * chosen against the scales that are stored.
 */
export interface GptqSettings {
  /** Added to the Hessian's diagonal, as a share of its mean. */
  readonly damping: number;
  /** Columns in the order of falling activation energy. Scales are then those of the untouched weights. */
  readonly actOrder: boolean;
  /** Scales of a group are chosen when its turn comes, from the corrected weights; else all beforehand. */
  readonly refreshScales: boolean;
  /** Search clipping ranges for the scales. */
  readonly clipSearch: boolean;
}

/** Columns between two corrections of the panel, where no group asks for it earlier. */
const LAZY_COLUMNS = 64;
/** Columns of a panel, at least: all later ones are corrected once, by a product of matrices. */
const PANEL_COLUMNS = 256;

/** weight [rows, columns]; gram XᵀX [columns, columns] of what it multiplies. */
export async function gptq(
  weight: Float32Array,
  rows: number,
  columns: number,
  scheme: BilevelScheme,
  gram: Float64Array,
  { damping, actOrder, refreshScales, clipSearch }: GptqSettings,
  products: DoubleProducts,
  name = 'weight',
): Promise<BilevelTensor> {
  const { groupSize } = scheme;
  const refresh = refreshScales && !actOrder;
  const hessian = dampened(gram, columns, damping);
  const order = Array.from({ length: columns }, (_, i) => i);
  if (actOrder) order.sort((a, b) => gram[b * columns + b] - gram[a * columns + a] || a - b);
  const ordered = actOrder ? permuted(hessian, columns, order) : hessian;
  const { factor: m, inverse: u } = await factorAndInverse(ordered, columns, products);

  const choose = (values: Float32Array, width: number, blocks: Float64Array): BilevelParameters => {
    const range = clipSearch ? searchClipRange(values, rows, width, scheme, blocks, { name }) : undefined;
    return chooseBilevel(values, rows, width, scheme, { name, range });
  };
  const parameters = refresh
    ? emptyParameters(rows, columns, scheme)
    : choose(weight, columns, diagonalBlocks(gram, columns, groupSize));

  const work = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < columns; j++) work[row * columns + j] = weight[row * columns + order[j]];
  }
  const codes = new Uint8Array(rows * columns);
  const qmax = maxCode(scheme);
  const groups = columns / groupSize;
  const width = refresh ? groupSize : LAZY_COLUMNS;
  const panel = width * Math.max(1, Math.floor(PANEL_COLUMNS / width));
  let errors = new Float64Array(0);
  let panelEnd = 0;
  for (let first = 0; first < columns; first += width) {
    const end = Math.min(first + width, columns);
    const panelStart = first - (first % panel);
    if (panelStart === first) {
      panelEnd = Math.min(first + panel, columns);
      errors = new Float64Array(rows * (panelEnd - first));
    }
    const across = panelEnd - panelStart;
    if (refresh) {
      // What later columns cannot make good of an error in this group: the Hessian with them free, M_b·M_bᵀ.
      const slab = slice(work, rows, columns, first, groupSize);
      place(
        parameters,
        choose(slab, groupSize, conditional(m, columns, first, groupSize)),
        first / groupSize,
      );
    }
    for (let row = 0; row < rows; row++) {
      const base = row * columns;
      for (let j = first; j < end; j++) {
        const column = order[j];
        const group = row * groups + Math.floor(column / groupSize);
        const scale = parameters.scale[group];
        const zero = parameters.offset ? parameters.offset[group] / scale : parameters.zero[group];
        const position = Math.round(work[base + j] / scale + zero);
        const code = position < 0 ? 0 : position > qmax ? qmax : position;
        codes[base + column] = code;
        const error = (work[base + j] - scale * (code - zero)) / u[j * columns + j];
        errors[row * across + j - panelStart] = error;
        for (let k = j + 1; k < end; k++) work[base + k] -= error * u[j * columns + k];
      }
      for (let j = first; j < end; j++) {
        const error = errors[row * across + j - panelStart];
        const from = j * columns;
        for (let k = end; k < panelEnd; k++) work[base + k] -= error * u[from + k];
      }
    }
    const left = columns - panelEnd;
    if (end < panelEnd || left === 0) continue;
    const below = blockOf(u, columns, [panelStart, across], [panelEnd, left]);
    const correction = await products.multiply(errors, below, [rows, across, left]);
    for (let row = 0; row < rows; row++) {
      const base = row * columns + panelEnd;
      for (let k = 0; k < left; k++) work[base + k] -= correction[row * left + k];
    }
  }
  return { ...parameters, codes };
}

/** With the damping, and columns that nothing reached at unit weight. */
function dampened(gram: Float64Array, n: number, damping: number): Float64Array {
  const hessian = gram.slice();
  let trace = 0;
  for (let i = 0; i < n; i++) trace += gram[i * n + i];
  const added = trace === 0 ? 1 : (damping * trace) / n;
  for (let i = 0; i < n; i++) hessian[i * n + i] = gram[i * n + i] === 0 ? 1 : gram[i * n + i] + added;
  return hessian;
}

function permuted(matrix: Float64Array, n: number, order: readonly number[]): Float64Array {
  const moved = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) moved[i * n + j] = matrix[order[i] * n + order[j]];
  }
  return moved;
}

/** M_b·M_bᵀ of the diagonal block at `first`. */
function conditional(m: Float64Array, n: number, first: number, size: number): Float64Array {
  const product = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      let sum = 0;
      for (let k = Math.max(i, j); k < size; k++) {
        sum += m[(first + i) * n + first + k] * m[(first + j) * n + first + k];
      }
      product[i * size + j] = sum;
    }
  }
  return product;
}

function slice(work: Float64Array, rows: number, columns: number, first: number, size: number): Float32Array {
  const slab = new Float32Array(rows * size);
  for (let row = 0; row < rows; row++) {
    slab.set(work.subarray(row * columns + first, row * columns + first + size), row * size);
  }
  return slab;
}

function emptyParameters(rows: number, columns: number, scheme: BilevelScheme): BilevelParameters {
  const groups = columns / scheme.groupSize;
  const blocks = (rows / scheme.scaleGroupSize) * groups;
  return {
    ...{ scheme, rows, columns },
    scale: new Float32Array(rows * groups),
    zero: new Uint8Array(rows * groups),
    scaleCode: new Uint8Array(rows * groups),
    step: new Float32Array(blocks),
    minimum: new Float32Array(blocks),
    ...(scheme.zero === 'minimum' && { offset: new Float32Array(rows * groups) }),
  };
}

/** Writes the parameters of one column group into those of the whole weight. */
function place(into: BilevelParameters, part: BilevelParameters, group: number): void {
  const groups = into.columns / into.scheme.groupSize;
  part.scale.forEach((scale, row) => {
    const index = row * groups + group;
    into.scale[index] = scale;
    into.zero[index] = part.zero[row];
    into.scaleCode[index] = part.scaleCode[row];
    if (part.offset) into.offset![index] = part.offset[row];
  });
  part.step.forEach((step, block) => {
    into.step[block * groups + group] = step;
    into.minimum[block * groups + group] = part.minimum[block];
  });
}
