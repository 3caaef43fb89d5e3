import type { Heap } from '../heap.ts';
import { COLUMN_TILE } from '../kernels/float.ts';
import type { Kernels } from '../kernels/module.ts';
import { ROW_TILE } from '../kernels/packed.ts';
import { padded } from '../weights/store.ts';
import type { FloatMatrix, Matrix } from '../weights/store.ts';
import type { PackedMatrix } from '../weights/packed-matrix.ts';

/** Rows [rows, columns] of float32 at an address; rows are `stride` floats apart. */
export interface Activation {
  readonly data: number;
  readonly rows: number;
  readonly columns: number;
  readonly stride: number;
}

/** Room for rows as kernels write them. */
export function allocateRows(heap: Heap, rows: number, columns: number): Activation {
  const stride = padded(columns);
  return { data: heap.floats(rows * stride), rows, columns, stride };
}

export interface Product {
  readonly matrix: Matrix;
  /** Address of the bias. */
  readonly bias: number;
}

/** Activations of this many rows are rounded at once and stay in the second-level cache while weights pass by. */
const CHUNK_ROWS = 64;

/** x · Wᵀ + bias for each product; weights of one group size share the rounded activations. */
export function multiply(
  heap: Heap,
  kernels: Kernels,
  x: Activation,
  products: readonly Product[],
): Activation[] {
  const results = products.map(({ matrix }) => allocateRows(heap, x.rows, matrix.rows));
  const before = heap.used;
  const groupSizes = new Set<number>();
  for (const [i, { matrix, bias }] of products.entries()) {
    if (matrix.kind === 'float') multiplyFloat(kernels, x, matrix, bias, results[i]);
    else groupSizes.add(matrix.groupSize);
  }
  for (const groupSize of groupSizes) {
    const { columns } = x;
    const groups = columns / groupSize;
    const rounded = heap.allocate(CHUNK_ROWS * x.columns * 2);
    const scales = heap.floats(CHUNK_ROWS * groups);
    const sums = heap.floats(CHUNK_ROWS * groups);
    for (let first = 0; first < x.rows; first += CHUNK_ROWS) {
      const count = Math.min(CHUNK_ROWS, x.rows - first);
      const tiled = count - (count % ROW_TILE);
      for (let r = 0; r < count; r++) {
        // Rows of a tile are interleaved; the ones that are left over stand by themselves.
        const width = r < tiled ? ROW_TILE : 1;
        const start = r - (r % width);
        const lane = (r - start) * 4;
        kernels.quantize(
          x.data + (first + r) * x.stride * 4,
          rounded + start * x.columns * 2 + lane,
          scales + start * groups * 4 + lane,
          sums + start * groups * 4 + lane,
          groups,
          groupSize / 4,
          4 * width,
        );
      }
      for (const [i, { matrix, bias }] of products.entries()) {
        if (matrix.kind === 'float' || matrix.groupSize !== groupSize) continue;
        const { data, stride } = results[i];
        const run = (row: number, tiles: number, tile: boolean): void => {
          const x = {
            rounded: rounded + row * columns * 2,
            scales: scales + row * groups * 4,
            sums: sums + row * groups * 4,
          };
          const y = { data: data + (first + row) * stride * 4, stride };
          runPacked(kernels, matrix, x, bias, y, tiles, tile);
        };
        if (tiled > 0) run(0, tiled / ROW_TILE, true);
        for (let row = tiled; row < count; row++) run(row, 1, false);
      }
    }
  }
  heap.release(before);
  return results;
}

function runPacked(
  kernels: Kernels,
  { kind, bits, rows, columns, groupSize, codes, scales, blocks, blockShift }: PackedMatrix,
  x: { readonly rounded: number; readonly scales: number; readonly sums: number },
  bias: number,
  y: Rows,
  tiles: number,
  tile: boolean,
): void {
  // Symmetric weights are always widened to 4 bits.
  const name = `${kind}${bits}` as 'integer2' | 'integer4' | 'minimum2' | 'minimum4' | 'symmetric4';
  const kernel = kernels[tile ? (`${name}Tile` as const) : name];
  const shape = [Math.ceil(rows / 4), columns / groupSize, (groupSize * bits) / 32];
  kernel(
    codes,
    scales,
    blocks,
    x.rounded,
    x.scales,
    x.sums,
    bias,
    y.data,
    ...shape,
    blockShift,
    y.stride * 4,
    tiles,
  );
}

function multiplyFloat(
  kernels: Kernels,
  x: Activation,
  { data, stride, columns }: FloatMatrix,
  bias: number,
  y: Activation,
): void {
  const right = { data, stride };
  productRows(kernels, x, right, y, { bias, columns: stride, inner: columns });
}

interface Rows {
  readonly data: number;
  readonly stride: number;
}

/** C = A · B + bias in float32; B [inner, columns] and C have room for whole tiles of columns. */
export function productRows(
  kernels: Kernels,
  a: Rows & { readonly rows: number },
  b: Rows,
  c: Rows,
  { bias, columns, inner }: { readonly bias: number; readonly columns: number; readonly inner: number },
): void {
  for (let row = 0; row < a.rows;) {
    const tile = row + ROW_TILE <= a.rows;
    (tile ? kernels.floatTile : kernels.float)(
      a.data + row * a.stride * 4,
      a.stride * 4,
      b.data,
      b.stride * 4,
      c.data + row * c.stride * 4,
      c.stride * 4,
      bias,
      padded(columns) / COLUMN_TILE,
      inner,
    );
    row += tile ? ROW_TILE : 1;
  }
}
