/** Workgroup counts of a dispatch. */
export type Grid = readonly [x: number, y: number, z: number];

/** Default limit of every WebGPU device, per dimension. */
const MAX_WORKGROUPS = 65_535;

/** `groups` workgroups over x, and y where one dimension is too short; the program guards the surplus. */
export function spread(groups: number): Grid {
  if (groups <= MAX_WORKGROUPS) return [groups, 1, 1];
  const y = Math.ceil(groups / MAX_WORKGROUPS);
  return [Math.ceil(groups / y), y, 1];
}

/** WGSL builtins of an entry point that uses `SPREAD_INDEX`. */
export const SPREAD_BUILTINS =
  '@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, ' +
  '@builtin(local_invocation_index) lid: u32';

/** The linear workgroup index under `spread`. */
export const SPREAD_INDEX = 'wid.x + wid.y * nwg.x';
