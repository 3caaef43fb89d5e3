import type { Program } from '../../engine/program.ts';
import { floats, params, program } from '../../engine/program.ts';

export const LAST_ROW_THREADS = 64;

/** x [count, width] → its last row. */
export function lastRowProgram(width: number): Program {
  return program(
    'last-row',
    { params, x: floats('read'), y: floats('write') },
    `
const WIDTH = ${width}u;
@compute @workgroup_size(${LAST_ROW_THREADS})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < WIDTH) { y[id.x] = x[(params.count - 1u) * WIDTH + id.x]; }
}`,
  );
}
