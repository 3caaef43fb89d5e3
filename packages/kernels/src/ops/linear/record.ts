import { SpeedqError, schemeName } from '@speedq/format';
import { spread } from '../../engine/grid.ts';
import type { Recorder, Value, Work } from '../../engine/recorder.ts';
import { ONE_ROW, dispatchOf, rowCount, valueBytes } from '../../engine/recorder.ts';
import type { CaseOptions } from '../../engine/variants.ts';
import { chosenVariant } from '../../engine/variants.ts';
import type { Candidates } from '../argmax/record.ts';
import type { MatmulVariant } from './matmul-variants.ts';
import { MATMUL_VARIANTS } from './matmul-variants.ts';
import { matmulProgram, matmulSuits } from './matmul.ts';
import type { MatvecVariant } from './matvec-variants.ts';
import { MATVEC_VARIANTS, matvecRows } from './matvec-variants.ts';
import { matvecProgram, matvecSuits } from './matvec.ts';
import type { MatvecOptions } from './options.ts';
import type { Matrix, MatrixPart } from './weight.ts';

export interface LinearInputs {
  /** [features] each. */
  readonly bias?: GPUBuffer;
  readonly scale?: GPUBuffer;
  readonly activation?: 'gelu';
  /** [rows, features] each. */
  readonly gate?: Value;
  /** The result is added to it and takes its place: one activation less to hold. */
  readonly residual?: Value;
  /** For a single row: x/√(mean(x²)+epsilon)·weight takes the place of x; weight [columns]. */
  readonly norm?: { readonly epsilon: number; readonly weight: GPUBuffer };
}

/** The name under which a variant for these shapes is chosen (VariantChoice). */
function linearKey(op: 'matvec' | 'matmul', { scheme, rows, columns }: Omit<Matrix, 'parts'>): string {
  return `${op} ${schemeName(scheme)} ${rows}x${columns}`;
}

/** Whether the value has one row in every run, which is when the matrix-vector program takes it. */
export function isSingleRow(recorder: Recorder, { rows }: Value): boolean {
  return rowCount(rows, recorder.maxCount) === 1;
}

/**
 * x [rows, columns] → [rows, features]: ((x·Wᵀ + bias) → activation) ⊙ scale · silu(gate) + residual.
 * Several matrices give their features side by side. A single row takes the matrix-vector program. Each part of
 * a split matrix fills its own features.
 */
export function recordLinear(
  recorder: Recorder,
  x: Value,
  matrix: Matrix | readonly Matrix[],
  inputs: LinearInputs = {},
): Value {
  return recordParts(recorder, x, partsOf('name' in matrix ? [matrix] : matrix), inputs);
}

/** Logits of a single row [1, features], and the candidates among which the largest is. */
export function recordHead(
  recorder: Recorder,
  x: Value,
  matrix: Matrix,
  inputs: LinearInputs,
): { readonly logits: Value; readonly candidates: Candidates } {
  const parts = partsOf([matrix]);
  const groups = parts.reduce((sum, part) => {
    const options = matvecCase(part, optionsOf(x, parts, part, inputs));
    return sum + groupsOf(part, chosenVariant(recorder.variants, MATVEC_VARIANTS, options));
  }, 0);
  const candidates = {
    values: recorder.value('best logits', ONE_ROW, groups),
    indices: recorder.value('ids of best logits', ONE_ROW, groups),
  };
  return { logits: recordParts(recorder, x, parts, inputs, { candidates }), candidates };
}

/**
 * silu(x · Gᵀ) ⊙ (x · Uᵀ), `joined` holding the rows of G, then those of U: one dispatch for a single row, two
 * for many. With `norm`, which takes a single row, x is normed first.
 */
export function recordGated(
  recorder: Recorder,
  x: Value,
  joined: Matrix,
  { norm }: Pick<LinearInputs, 'norm'> = {},
): Value {
  const half = joined.rows / 2;
  const halfFrom = (first: number): Part[] => {
    const [part] = joined.parts;
    return [{ matrix: joined, part, offset: 0, rows: half, first }];
  };
  if (isSingleRow(recorder, x)) return recordParts(recorder, x, halfFrom(half), { norm }, { gated: true });
  const gate = recordParts(recorder, x, halfFrom(0), {});
  return recordParts(recorder, x, halfFrom(half), { gate });
}

interface Part {
  readonly matrix: Matrix;
  readonly part: MatrixPart;
  /** First feature of y, number of features, first row in the part's buffers. */
  readonly offset: number;
  readonly rows: number;
  readonly first: number;
}

function partsOf(matrices: readonly Matrix[]): Part[] {
  const parts: Part[] = [];
  let offset = 0;
  for (const matrix of matrices) {
    for (const part of matrix.parts) {
      parts.push({ matrix, part, offset: offset + part.rowOffset, rows: part.rows, first: 0 });
    }
    offset += matrix.rows;
  }
  return parts;
}

/** What a program of one part is made from, but for what only some single rows have. */
function optionsOf(x: Value, parts: readonly Part[], part: Part, inputs: LinearInputs): MatvecOptions {
  const { matrix, offset, first } = part;
  const { bias, scale, gate, residual, activation, norm } = inputs;
  return {
    scheme: matrix.scheme,
    rows: x.rows,
    columns: matrix.columns,
    features: parts.reduce((sum, { rows }) => sum + rows, 0),
    part: { offset, rows: part.rows, first, bufferRows: part.part.rows },
    epilogue: {
      bias: bias !== undefined,
      activation: activation ?? 'none',
      scale: scale !== undefined,
      gate: gate !== undefined,
      residual: residual !== undefined,
    },
    norm,
  };
}

function matvecCase({ matrix }: Part, options: MatvecOptions): CaseOptions<MatvecVariant> {
  return {
    op: 'matvec',
    key: linearKey('matvec', matrix),
    suits: (variant) => matvecSuits(variant, options),
  };
}

/** Workgroups of a matrix-vector product. */
function groupsOf({ matrix, rows }: Part, variant: MatvecVariant): number {
  return Math.ceil(rows / matvecRows(variant, matrix.columns));
}

function recordParts(
  recorder: Recorder,
  x: Value,
  parts: readonly Part[],
  inputs: LinearInputs,
  { candidates, gated = false }: { readonly candidates?: Candidates; readonly gated?: boolean } = {},
): Value {
  const { bias, scale, gate, residual, norm } = inputs;
  const features = parts.reduce((sum, part) => sum + part.rows, 0);
  const y = residual ?? recorder.value(parts[0].matrix.name, x.rows, features);
  const single = isSingleRow(recorder, x);
  let group = 0;
  for (const part of parts) {
    const { name, columns } = part.matrix;
    if (x.width !== columns) {
      throw new SpeedqError(
        'shape-mismatch',
        `${name} takes ${columns} features, the configuration gives it ${x.width}. Check config.json against the weights.`,
      );
    }
    const options = optionsOf(x, parts, part, inputs);
    const { codes, meta } = part.part;
    const resources = [recorder.params, x, norm?.weight, codes, meta, bias, scale, gate, y];
    const work = workOf(part, x, gated ? 2 : 1, { gate, residual });
    if (single) {
      const matvec: MatvecOptions = {
        ...options,
        gated,
        candidates: candidates && { offset: group },
      };
      recorder.dispatchVariant(MATVEC_VARIANTS, { ...matvecCase(part, matvec), output: y }, (variant) => [
        dispatchOf(
          matvecProgram(matvec, variant),
          [...resources, candidates?.values, candidates?.indices],
          () => spread(groupsOf(part, variant)),
          work,
        ),
      ]);
      group += groupsOf(part, chosenVariant(recorder.variants, MATVEC_VARIANTS, matvecCase(part, matvec)));
    } else {
      const key = linearKey('matmul', part.matrix);
      const suits = (variant: MatmulVariant) => matmulSuits(variant, options);
      recorder.dispatchVariant(MATMUL_VARIANTS, { op: 'matmul', key, suits, output: y }, (variant) => [
        dispatchOf(
          matmulProgram(options, variant),
          resources,
          (count) => [
            Math.ceil(part.rows / variant.tileFeatures),
            Math.ceil(rowCount(x.rows, count) / variant.tileRows),
            1,
          ],
          work,
        ),
      ]);
    }
  }
  return y;
}

/** `halves`: 2 where the rows of a gate are read along. */
function workOf(
  { matrix, rows, part }: Part,
  x: Value,
  halves: number,
  { gate, residual }: Pick<LinearInputs, 'gate' | 'residual'>,
): Work {
  const { scheme, columns, name } = matrix;
  const read = rows * halves;
  const weightBytes = ((part.codes.size + (part.meta?.size ?? 0)) / part.rows) * read;
  // Written, and read before where something is added to it or multiplied with it.
  const passes = 1 + (gate === undefined ? 0 : 1) + (residual === undefined ? 0 : 1);
  return {
    what: `${shortName(name)} [${read}, ${columns}]`,
    linear: { scheme, rows: x.rows, inputs: columns, out: read },
    of({ count }) {
      const xRows = rowCount(x.rows, count);
      return {
        bytes: weightBytes + valueBytes(x, count) + passes * xRows * rows * 4,
        operations: 2 * xRows * columns * read,
      };
    },
  };
}

/** Names of joined matrices without what they have in common: the model, the layer and the kind. */
function shortName(name: string): string {
  return name
    .split(' + ')
    .map((one) => one.replace(/\.weight$/, '').replace(/^.*\./, ''))
    .join(' + ');
}
