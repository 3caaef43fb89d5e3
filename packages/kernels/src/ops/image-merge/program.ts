import { SPREAD_BUILTINS, SPREAD_INDEX } from '../../engine/grid.ts';
import type { Program } from '../../engine/program.ts';
import { params, program, vectors, words } from '../../engine/program.ts';

const THREADS = 64;

/**
 * Overwrites the rows of y whose id is the image token by feature rows in order. One workgroup per row; it
 * counts the image tokens before its own, so no index list has to be made.
 */
export function imageMergeProgram(options: {
  readonly width: number;
  readonly imageTokenId: number;
}): Program {
  return program(
    'image-merge',
    { params, ids: words('read'), features: vectors('read'), y: vectors('write') },
    `
const THREADS = ${THREADS}u;
const QUADS = ${options.width / 4}u;
const IMAGE_TOKEN = ${options.imageTokenId}u;
var<workgroup> before: atomic<u32>;

@compute @workgroup_size(THREADS)
fn main(${SPREAD_BUILTINS}) {
  let row = ${SPREAD_INDEX};
  if (row >= params.count || ids[row] != IMAGE_TOKEN) { return; }
  if (lid == 0u) { atomicStore(&before, 0u); }
  workgroupBarrier();
  for (var i = lid; i < row; i += THREADS) {
    if (ids[i] == IMAGE_TOKEN) { atomicAdd(&before, 1u); }
  }
  workgroupBarrier();
  let source = atomicLoad(&before);
  for (var i = lid; i < QUADS; i += THREADS) { y[row * QUADS + i] = features[source * QUADS + i]; }
}`,
  );
}
