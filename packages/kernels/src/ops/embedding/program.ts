import type { Scheme } from '@speedq/format';
import { SPREAD_BUILTINS, SPREAD_INDEX } from '../../engine/grid.ts';
import type { Program } from '../../engine/program.ts';
import { params, program, vectors, words } from '../../engine/program.ts';
import { weightCode } from '../linear/weight-code.ts';

export const EMBEDDING_THREADS = 64;

/** Gathers table rows of ids [count]; ids outside this part's rows are left to the other parts. */
export function embeddingProgram(options: {
  readonly scheme: Scheme;
  readonly columns: number;
  readonly part: { readonly offset: number; readonly rows: number };
}): Program {
  const { scheme, columns, part } = options;
  const { bindings, functions } = weightCode(scheme, part.rows, columns);
  return program(
    'embedding',
    { params, ids: words('read'), ...bindings, y: vectors('write') },
    `
const COLUMN_QUADS = ${columns / 4}u;
${functions}

@compute @workgroup_size(${EMBEDDING_THREADS})
fn main(${SPREAD_BUILTINS}) {
  let index = (${SPREAD_INDEX}) * ${EMBEDDING_THREADS}u + lid;
  let token = index / UNITS;
  let unit = index % UNITS;
  if (token >= params.count) { return; }
  let id = ids[token];
  if (id < ${part.offset}u || id >= ${part.offset + part.rows}u) { return; }
  let w = weights(id - ${part.offset}u, unit);
  for (var i = 0u; i < 4u; i++) {
    if (unit * 4u + i < COLUMN_QUADS) { y[token * COLUMN_QUADS + unit * 4u + i] = w[i]; }
  }
}`,
  );
}
