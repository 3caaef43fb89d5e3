import { spread } from '../../engine/grid.ts';
import type { Recorder, Value } from '../../engine/recorder.ts';
import { valueBytes } from '../../engine/recorder.ts';
import { UNIT } from '../linear/weight-code.ts';
import type { Matrix } from '../linear/weight.ts';
import { EMBEDDING_THREADS, embeddingProgram } from './program.ts';

/** ids [count] (u32) → rows of the table [count, columns]. Ids must be below the table's row count. */
export function recordEmbedding(recorder: Recorder, ids: Value, table: Matrix): Value {
  const { scheme, columns } = table;
  const y = recorder.value('embeddings', ids.rows, columns);
  const units = Math.ceil(columns / UNIT);
  for (const { rowOffset, rows, codes, meta } of table.parts) {
    const program = embeddingProgram({ scheme, columns, part: { offset: rowOffset, rows } });
    const rowBytes = (codes.size + (meta?.size ?? 0)) / rows;
    recorder.dispatch(
      program,
      [recorder.params, ids, codes, meta, y],
      (count) => spread(Math.ceil((count * units) / EMBEDDING_THREADS)),
      {
        what: 'embedding',
        of: ({ count }) => ({ bytes: count * rowBytes + valueBytes(y, count), operations: count * columns }),
      },
    );
  }
  return y;
}
